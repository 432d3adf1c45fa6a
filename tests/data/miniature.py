"""Miniature data sets in the published formats.

What stands here is transcribed from the pages of the data sets (names, shapes, dtypes, folders),
not from the loaders: a wrong constant there must fail against these files.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CORRUPTIONS_19 = [
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]
CORRUPTIONS_3D = [
    "near_focus",
    "far_focus",
    "bit_error",
    "color_quant",
    "flash",
    "fog_3d",
    "h265_abr",
    "h265_crf",
    "iso_noise",
    "low_light",
    "xy_motion_blur",
    "z_motion_blur",
]
N_PER_SEVERITY = 10_000
N_SHOWN = 8  # rows that are written; the rest of a file is a hole


def wnids() -> list[str]:
    """The 1,000 class names of ImageNet, in their order, from timm's own table."""
    from timm.data import ImageNetInfo

    return sorted(ImageNetInfo("imagenet-1k").label_names())


def noise(seed: int, *shape: int) -> np.ndarray:
    """uint8 noise."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, shape, dtype=np.uint8)


def jpeg(path: Path, seed: int, width: int = 224, height: int = 224) -> Path:
    """A JPEG of smooth noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = Image.fromarray(noise(seed, 7, 7, 3))
    small.resize((width, height), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)
    return path


# --- CIFAR -------------------------------------------------------------------------------------


def cifar_c(root: Path, n_classes: int, corruptions: list[str] = CORRUPTIONS_19) -> Path:
    """CIFAR-10-C or CIFAR-100-C: full shapes, the first `N_SHOWN` rows of each severity written.

    Row i of severity s of corruption c holds noise of the seed 1000 c + 100 s + i.
    """
    folder = root / f"CIFAR-{n_classes}-C"
    folder.mkdir(parents=True)
    for number, corruption in enumerate(corruptions):
        array = np.lib.format.open_memmap(
            folder / f"{corruption}.npy", "w+", np.uint8, (50000, 32, 32, 3)
        )
        for severity in range(1, 6):
            for i in range(N_SHOWN):
                seed = 1000 * number + 100 * severity + i
                array[(severity - 1) * N_PER_SEVERITY + i] = noise(seed, 32, 32, 3)
        del array
    np.save(folder / "labels.npy", np.tile(np.arange(N_PER_SEVERITY) % n_classes, 5))
    return folder


def python2_pickle(value) -> bytes:
    """Protocol 2 as Python 2 wrote it: byte strings, and arrays of NumPy 1."""
    return b"\x80\x02" + opcodes(value) + b"."


def opcodes(value) -> bytes:
    """The opcodes that leave ``value`` on the stack; uint8 arrays only."""
    if isinstance(value, dict):
        pairs = b"".join(opcodes(k) + opcodes(v) for k, v in value.items())
        return b"}(" + pairs + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        return b"T" + len(raw).to_bytes(4, "little") + raw
    shape = b"(" + b"".join(map(opcodes, value.shape)) + b"t"
    minus_one = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * minus_one + b"K\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + opcodes(value.tobytes()) + b"tb"


def cifar_clean(root: Path, n_classes: int) -> Path:
    """`cifar-10-batches-py` or `cifar-100-python`: rows of 3,072 values, red first."""
    if n_classes == 10:
        folder, key = root / "cifar-10-batches-py", "labels"
        sizes = {f"data_batch_{i}": 10_000 for i in range(1, 6)} | {"test_batch": 10_000}
    else:
        folder, key, sizes = root / "cifar-100-python", "fine_labels", {"train": 50_000}
        sizes["test"] = 10_000
    folder.mkdir(parents=True)
    for seed, (name, n) in enumerate(sizes.items()):
        content = {
            "batch_label": f"{name} of {len(sizes)}",
            key: [i % n_classes for i in range(n)],
            "data": noise(seed, n, 3072),
            "filenames": [f"image_{i:06}.png" for i in range(3)],
        }
        (folder / name).write_bytes(python2_pickle(content))
    return folder


# --- ImageNet ----------------------------------------------------------------------------------


def tar_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add one file to an archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


IDS = [(0, 293), (3, 17), (3, 42), (9, 7), (500, 1), (999, 49_999)]  # (class, number) of a list


def imagenet_lines() -> list[str]:
    """Lines of a list, the last class first."""
    names = wnids()
    return [f"{names[c]}/ILSVRC2012_val_{n:08}.JPEG" for c, n in reversed(IDS)]


def imagenet_c(
    root: Path,
    folder: str = "ImageNet-C",
    corruptions: tuple[str, ...] = ("fog", "speckle_noise"),
    severities: tuple[int, ...] = (5,),
    level: str = "",
) -> Path:
    """<corruption>/<severity>/<wnid>/ILSVRC2012_val_*.JPEG, 224x224, of the list's images.

    Line i of severity s of corruption c is drawn from the seed 1000 c + 100 s + i.
    """
    for number, corruption in enumerate(corruptions):
        for severity in severities:
            below = root / folder / level / corruption / str(severity)
            for i, line in enumerate(imagenet_lines()):
                jpeg(below / line, 1000 * number + 100 * severity + i)
    (root / "list.txt").write_text("\n".join(imagenet_lines()))
    return root / folder


def imagenet_val(root: Path) -> Path:
    """imagenet/val/<wnid>/*.JPEG of other sizes, the list's images and one for each other class."""
    folder = root / "imagenet" / "val"
    for line in imagenet_lines():
        jpeg(folder / line, 7, 300, 280)
    content = jpeg(root / "one.jpg", 8, 40, 50).read_bytes()
    for number, wnid in enumerate(wnids()):
        (folder / wnid).mkdir(parents=True, exist_ok=True)
        (folder / wnid / f"ILSVRC2012_val_{number:08}.JPEG").write_bytes(content)
    return folder


def class_folders(folder: Path, names: list[str], suffix: str, n_real: int = 3) -> Path:
    """A folder a class with one image; the first ``n_real`` hold an image of their own."""
    content = jpeg(folder.parent / f"filler-{folder.name}.jpg", 1, 40, 50).read_bytes()
    for number, name in enumerate(names):
        if number < n_real:
            jpeg(folder / name / f"art_0{suffix}", number, 260, 300)
        else:
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"art_0{suffix}").write_bytes(content)
    return folder


def variant(root: Path, name: str) -> Path:
    """ImageNet-R, -A, -V2 or -Sketch."""
    if name == "imagenet_r":
        return class_folders(root / "imagenet-r", wnids()[1::5], ".jpg")
    if name == "imagenet_a":
        return class_folders(root / "imagenet-a", wnids()[2::5], ".jpg")
    if name == "imagenet_sketch":
        return class_folders(root / "ImageNet-Sketch" / "sketch", wnids(), ".JPEG")
    folder = root / "imagenet-v2" / "imagenetv2-matched-frequency-format-val"
    return class_folders(folder, [str(n) for n in range(1000)], ".jpeg")


def domainnet(root: Path, n: int = 4) -> Path:
    """DomainNet-126/<domain>/<class>/<file>.jpg and the lists, without a final line feed."""
    folder = root / "DomainNet-126"
    for number, domain in enumerate(("clipart", "painting", "real", "sketch")):
        lines = []
        for i in range(n):
            name = f"{domain}/bird/{domain}_032_{i:06}.jpg"
            jpeg(folder / name, 10 * number + i, 270, 230)
            lines.append(f"{name} {11 + i}")
        (folder / f"{domain}_list.txt").write_text("\n".join(lines))
    return folder


def imagenet_d109(root: Path, n: int = 1) -> Path:
    """DomainNet-126/<domain>/<class>/<file>.jpg, n of three of the 109 classes, and the lists."""
    folder = root / "DomainNet-126"
    (folder / "imagenet_d109_lists").mkdir(parents=True, exist_ok=True)
    classes = {"aircraft_carrier": 0, "ant": 2, "zebra": 108}
    for number, domain in enumerate(("clipart", "infograph", "painting", "real", "sketch")):
        lines = []
        for name, label in classes.items():
            for i in range(1, n + 1):
                path = f"{domain}/{name}/{domain}_001_{i:06}.jpg"
                jpeg(folder / path, 1000 * (i - 1) + 100 * number + label, 270, 230)
                lines.append(f"{path} {label}")
        (folder / "imagenet_d109_lists" / f"{domain}_list.txt").write_text("\n".join(lines) + "\n")
    return folder


# --- CCC ---------------------------------------------------------------------------------------


def ccc_shards(folder: Path, sizes: list[int]) -> Path:
    """serial_00000.tar and so on; sample i of the stream is drawn from the seed i, label i % 1000.

    Members as the authors' writer puts them: sample_<i>.info, .input.jpg, .output.cls.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    for number, size in enumerate(sizes):
        with tarfile.open(folder / f"serial_{number:05}.tar", "w") as archive:
            for i in range(size):
                content = jpeg(folder / "x.jpg", n).read_bytes()
                tar_member(archive, f"sample_{i}.info", b"++dir++n01440764++name++x.JPEG++n1++fog")
                tar_member(archive, f"sample_{i}.input.jpg", content)
                tar_member(archive, f"sample_{i}.output.cls", str(n % 1000).encode())
                n += 1
    (folder / "x.jpg").unlink(missing_ok=True)
    return folder


CCC_NOISES = [
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "contrast",
    "elastic",
    "pixelate",
    "jpeg",
]


def ccc_calibration(path: Path) -> Path:
    """ccc_accuracy_matrix.pickle: accuracy in % by quarter steps of two severities."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, second = np.mgrid[:21, :21]
    content = {
        f"n1_{a}_n2_{b}": np.clip(76 - (2 + k % 3) * first - (2 + m % 2) * second, 0.1, 100.0)
        for k, a in enumerate(CCC_NOISES)
        for m, b in enumerate(CCC_NOISES)
        if a != b
    }
    path.write_bytes(pickle.dumps(content, 4))
    return path


def all_data_sets(folder: Path) -> None:
    """Every data set in its place under ``folder``, and `mine`: images of one's own."""
    for n_classes in (10, 100):
        cifar_c(folder, n_classes)
        cifar_clean(folder, n_classes)
    imagenet_c(folder)
    imagenet_c(folder, "ImageNet-3DCC", tuple(CORRUPTIONS_3D))
    imagenet_val(folder)
    for name in ("imagenet_r", "imagenet_a", "imagenet_v2", "imagenet_sketch"):
        variant(folder, name)
    domainnet(folder)
    imagenet_d109(folder)
    class_folders(folder / "mine", ["cat", "dog", "owl"], ".png")
    ccc_shards(folder / "CCC" / "baseline_20_transition+speed_1000_seed_43", [8])
    ccc_calibration(folder / "CCC" / "ccc_accuracy_matrix.pickle")
