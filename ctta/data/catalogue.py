"""What can be had where: files, sizes, checksums, licences and folder names of the data sets.

Sources: the Zenodo records, the repositories and project pages that each entry names, torchvision
0.29 for the clean CIFAR sets and ImageNet, and the checksum tables of tensorflow/datasets for the
SHA-256 and the sizes of ImageNet-R, -A, -V2 and ImageNet. None stands for what no readable page
states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class File:
    """One file to download.

    Attributes:
        name: of the file.
        urls: where it is, tried in this order; empty where a login or a form stands before it.
        size: bytes.
        md5: of the whole file.
        unpacks_to: what is there once it is unpacked, relative to the root of all data. A folder
            is known in the archive by its own name, however deep it lies there.
        sha256: of the whole file.
        n_files: images and arrays in it.
        record: address of a Zenodo record that names the file's present address.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    md5: str | None = None
    unpacks_to: tuple[str, ...] = ()
    sha256: str | None = None
    n_files: int | None = None
    record: str | None = None

    @property
    def checksums(self) -> dict[str, str]:
        """Algorithm -> published hash, for those that are published."""
        known = {"md5": self.md5, "sha256": self.sha256}
        return {algorithm: digest for algorithm, digest in known.items() if digest}


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes:
        name: of the entry.
        title: in the words of its authors.
        folder: where its loader looks, relative to the root of all data.
        layout: what lies in the folder.
        licence: as its pages state it.
        terms: what else binds its user.
        page: where to read about it.
        files: what is downloaded.
        md5: of files in ``folder`` once it is unpacked.
        by_hand: what to do where a login stands before the files.
    """

    name: str
    title: str
    folder: str
    layout: str
    licence: str
    terms: str
    page: str
    files: tuple[File, ...] = ()
    md5: tuple[tuple[str, str], ...] = ()
    by_hand: str = ""

    def remedy(self) -> str:
        """What to do when a file is not there, as the end of a message."""
        if self.by_hand:
            return f"get it from {self.page}, or set CTTA_DATA (paths.data)"
        return f"type 'ctta data download {self.name}', or set CTTA_DATA (paths.data)"

    def damaged(self) -> str:
        """What to do when a file is not what it should be, as the end of a message."""
        return f"delete it; {self.remedy()}"


def zenodo(record: int, name: str, size: int, md5: str, n_files: int, *unpacks_to: str) -> File:
    """A file of a Zenodo record, by its page's address, by the API's, and by the record itself."""
    return File(
        name,
        (
            f"https://zenodo.org/records/{record}/files/{name}?download=1",
            f"https://zenodo.org/api/records/{record}/files/{name}/content",
        ),
        size,
        md5,
        unpacks_to,
        n_files=n_files,
        record=f"https://zenodo.org/api/records/{record}",
    )


def imagenet_c_file(group: str, size: int, md5: str, *corruptions: str) -> File:
    """One archive of record 2235448: five severities of 50,000 images for each corruption."""
    folders = (f"ImageNet-C/{corruption}" for corruption in corruptions)
    return zenodo(2235448, f"{group}.tar", size, md5, 250_000 * len(corruptions), *folders)


def toronto(name: str, size: int, md5: str, folder: str) -> File:
    """One archive of the clean CIFAR sets; the second address is where the first one leads to."""
    urls = f"https://www.cs.toronto.edu/~kriz/{name}", f"https://cave.cs.toronto.edu/kriz/{name}"
    return File(name, urls, size, md5, (folder,))


def imagenet_v2_file(variant: str, size: int, sha256: str) -> File:
    """One variant of ImageNet-V2; the copies on Amazon S3 are other files."""
    name = f"imagenetv2-{variant}.tar.gz"  # in truth not compressed
    url = f"https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/{name}"
    folder = f"imagenet-v2/imagenetv2-{variant}-format-val"
    return File(name, (url,), size, None, (folder,), sha256=sha256, n_files=10_000)


def domainnet_file(path: str, md5: str | None = None) -> File:
    """The images of one style, all 345 classes of them."""
    name = path.rpartition("/")[2]
    return File(name, (f"{VISDA}/{path}",), None, md5, (f"DomainNet-126/{name[:-4]}",))


IMAGENET_TERMS: Final = "the images fall under the terms of ImageNet (non-commercial research)"
CIFAR_TERMS: Final = "generator under Apache-2.0; see the record before redistributing"
HENDRYCKS: Final = "https://people.eecs.berkeley.edu/~hendrycks"
SKETCH: Final = "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data"
VISDA: Final = "http://csr.bu.edu/ftp/visda/2019/multi-source"
ADACONTRAST: Final = (
    "https://raw.githubusercontent.com/DianCh/AdaContrast/"
    "c3c8b880131f2658d6fd0d5ed14d71f326174d57/datasets/domainnet-126"
)
CCC_SHARDS: Final = "https://mlcloud.uni-tuebingen.de:7443/datasets/CCC"

THREE_D_CORRUPTIONS: Final = (
    "near_focus", "far_focus", "bit_error", "color_quant", "flash", "fog_3d", "h265_abr",
    "h265_crf", "iso_noise", "low_light", "xy_motion_blur", "z_motion_blur",
)  # fmt: skip
V2_VARIANTS: Final = ("matched-frequency", "threshold0.7", "top-images")
DOMAINNET_LISTS: Final = (
    ("clipart", "5e6a74972af17b0aefeff289871271f0"),
    ("painting", "0b15c9105ca6d244d3a6acbfd2f567d6"),
    ("real", "d985145a809d0827909f60f4f1cb7390"),
    ("sketch", "9b19a9de144b44a961c1e3cca59b26b0"),
)
DOEBLER: Final = (
    "https://raw.githubusercontent.com/mariodoebler/test-time-adaptation/"
    "8b2ed63255d906b6b0afaefc6ae630b9ec4bdaa1/classification/datasets/imagenet_d109_lists"
)
D109_LISTS: Final = (
    ("clipart", "853f61e41745bab0df96421149fc10e9"),
    ("infograph", "5dc32b94b27f66f93ab6fa5c1dcf7573"),
    ("painting", "843c971d6066ca77c24e3e2f5cecf9db"),
    ("real", "61e56c59b6db91e239683a589ad708ea"),
    ("sketch", "f2a935dcabe9ccf19aec780db21d3298"),
)

# The 5,000 lines joined by single line feeds, without one at the end (RobustBench at 78fcc9e).
IMAGENET_5000_SHA256: Final = "d4121626d07722a0126c35b1563042e46a546f1a05ce705f2cdc635896d58574"

ENTRIES: Final[tuple[Entry, ...]] = (
    Entry(
        "cifar10_c", "CIFAR-10-C", "CIFAR-10-C",
        "19 corruptions as <corruption>.npy, uint8 (50000, 32, 32, 3), and labels.npy",
        "not stated here", CIFAR_TERMS, "https://zenodo.org/records/2535967",
        (zenodo(2535967, "CIFAR-10-C.tar", 2918471680, "56bf5dcef84df0e2308c6dcbcbbd8499", 20,
                "CIFAR-10-C"),),
    ),
    Entry(
        "cifar100_c", "CIFAR-100-C", "CIFAR-100-C",
        "19 corruptions as <corruption>.npy, uint8 (50000, 32, 32, 3), and labels.npy",
        "not stated here", CIFAR_TERMS, "https://zenodo.org/records/3555552",
        (zenodo(3555552, "CIFAR-100-C.tar", 2918473216, "11f0ed0f1191edbf9fa23466ae6021d3", 20,
                "CIFAR-100-C"),),
    ),
    Entry(
        "cifar10", "CIFAR-10", "cifar-10-batches-py", "data_batch_1 to 5 and test_batch",
        "not stated here", "cite the technical report of 2009",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        (toronto("cifar-10-python.tar.gz", 170498071, "c58f30108f718f92721af3b95e74349a",
                 "cifar-10-batches-py"),),
        (
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
            ("test_batch", "40351d587109b95175f43aff81a1287e"),
        ),
    ),
    Entry(
        "cifar100", "CIFAR-100", "cifar-100-python", "train and test",
        "not stated here", "cite the technical report of 2009",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        (toronto("cifar-100-python.tar.gz", 169001437, "eb9058c3a382ffc7106e4002c42a8d85",
                 "cifar-100-python"),),
        (
            ("train", "16019d7e3df5f24257cddd939b257f8d"),
            ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ),
    ),
    Entry(
        "imagenet", "ImageNet (ILSVRC 2012), clean", "imagenet",
        "val/<wnid>/ILSVRC2012_val_*.JPEG and train/<wnid>/*.JPEG",
        "terms of ImageNet", "needs a login; non-commercial research",
        "https://image-net.org/download-images",
        (
            File("ILSVRC2012_img_val.tar", (), 6744924160, "29b22e2961454d5413ddabcf34fc5622",
                 ("imagenet/val",), n_files=50_000,
                 sha256="c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0"),
            File("ILSVRC2012_img_train.tar", (), 147897477120, "1d675b47d978889d74fa0da5fadfb00e",
                 ("imagenet/train",), n_files=1_281_167,
                 sha256="b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb"),
        ),
        by_hand="log in there, put ILSVRC2012_img_val.tar, ILSVRC2012_devkit_t12.tar.gz and, for "
        "methods that use training images, ILSVRC2012_img_train.tar into {folder}; then "
        "torchvision.datasets.ImageNet('{folder}', split='val') and split='train' (with scipy) "
        "sort them into folders of classes",
    ),
    Entry(
        "imagenet_c", "ImageNet-C", "ImageNet-C",
        "<corruption>/<severity 1 to 5>/<wnid>/ILSVRC2012_val_*.JPEG, 224x224",
        "CC BY 4.0", IMAGENET_TERMS, "https://zenodo.org/records/2235448",
        (
            imagenet_c_file("noise", 22565673785, "e80562d7f6c3f8834afb1ecf27252745",
                            "gaussian_noise", "shot_noise", "impulse_noise"),
            imagenet_c_file("blur", 7112704951, "2d8e81fdd8e07fef67b9334fa635e45c",
                            "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
            imagenet_c_file("weather", 12797438995, "33ffea4db4d93fe4a428c40a6ce0c25d",
                            "frost", "snow", "fog", "brightness"),
            imagenet_c_file("digital", 7757510705, "89157860d7b10d5797849337ca2e5c03",
                            "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
            imagenet_c_file("extra", 15789490144, "d492dfba5fc162d8ec2c3cd8ee672984",
                            "speckle_noise", "spatter", "gaussian_blur", "saturate"),
        ),
    ),
    Entry(
        "imagenet_ids", "RobustBench's list of 5,000 ImageNet validation images", "imagenet_ids",
        "imagenet_test_image_ids.txt, a line <wnid>/ILSVRC2012_val_*.JPEG for each image",
        "MIT", "cite RobustBench", "https://github.com/RobustBench/robustbench",
        (File("imagenet_test_image_ids.txt",
              ("https://raw.githubusercontent.com/RobustBench/robustbench/"
               "78fcc9e48a07a861268f295a777b975f25155964/"
               "robustbench/helper_files/imagenet_test_image_ids.txt",), 194999,
              "8de8bbba2cf05cb54190e49247375985",
              ("imagenet_ids/imagenet_test_image_ids.txt",)),),
    ),
    Entry(
        "imagenet_3dcc", "ImageNet-3DCC", "ImageNet-3DCC",
        "<corruption>/<severity 1 to 5>/<wnid>/*.JPEG",
        "tools under CC BY-NC 4.0", IMAGENET_TERMS,
        "https://github.com/EPFL-VILAB/3DCommonCorruptions",
        tuple(
            File(f"{name}.tar.gz", (f"https://datasets.epfl.ch/3dcc/imagenet_3dcc/{name}.tar.gz",),
                 unpacks_to=(f"ImageNet-3DCC/{name}",))
            for name in THREE_D_CORRUPTIONS
        ),
    ),
    Entry(
        "imagenet_r", "ImageNet-R", "imagenet-r", "<wnid>/*.jpg, 30,000 images of 200 classes",
        "repository MIT", IMAGENET_TERMS, "https://github.com/hendrycks/imagenet-r",
        (File("imagenet-r.tar", (f"{HENDRYCKS}/imagenet-r.tar",), 2191079936,
              "a61312130a589d0ca1a8fca1f2bd3337", ("imagenet-r",), n_files=30_000,
              sha256="18c6bf493b39a0d975d48e587437f562caab9c52ae6327dcfa9dd8eb54aa1b52"),),
    ),
    Entry(
        "imagenet_a", "ImageNet-A", "imagenet-a", "<wnid>/*.jpg, 7,500 images of 200 classes",
        "repository MIT", IMAGENET_TERMS,
        "https://github.com/hendrycks/natural-adv-examples",
        (File("imagenet-a.tar", (f"{HENDRYCKS}/imagenet-a.tar",), 687552512,
              "c3e55429088dc681f30d81f4726b6595", ("imagenet-a",), n_files=7_500,
              sha256="3bb3632277e6ba6392ea64c02ddbf4dd2266c9caffd6bc09c9656d28f012589e"),),
    ),
    Entry(
        "imagenet_v2", "ImageNet-V2", "imagenet-v2",
        "imagenetv2-<variant>-format-val/<0 to 999>/*.jpeg, 10,000 images",
        "repository MIT", IMAGENET_TERMS, "https://huggingface.co/datasets/vaishaal/ImageNetV2",
        (
            imagenet_v2_file("matched-frequency", 1264079360,
                             "f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c"),
            imagenet_v2_file("threshold0.7", 1249906176,
                             "32142bfe998f9cfa4141be691f6a80eeb1e27b24bd532a668eb08c26d98897a2"),
            imagenet_v2_file("top-images", 1245927936,
                             "85e4ace30f3f0d660152062254b8759dda66267b27f7ec0fd8d5768f1073a04b"),
        ),
    ),
    Entry(
        "imagenet_sketch", "ImageNet-Sketch", "ImageNet-Sketch",
        "sketch/<wnid>/*.JPEG, about 50 images of each of 1,000 classes",
        "repository MIT", IMAGENET_TERMS, "https://github.com/HaohanWang/ImageNet-Sketch",
        (File("ImageNet-Sketch.zip", (f"{SKETCH}/ImageNet-Sketch.zip",),
              unpacks_to=("ImageNet-Sketch/sketch",)),),
    ),
    Entry(
        "domainnet126", "DomainNet-126", "DomainNet-126",
        "<domain>/<class>/*.jpg and <domain>_list.txt, lines '<path> <label>'",
        "fair use for research", "see the page of DomainNet",
        "http://ai.bu.edu/M3SDA/",
        (
            domainnet_file("groundtruth/clipart.zip", "cd0d8f2d77a4e181449b78ed62bccf1e"),
            domainnet_file("groundtruth/painting.zip"),
            domainnet_file("real.zip"),
            domainnet_file("sketch.zip"),
            *(
                File(f"{domain}_list.txt", (f"{ADACONTRAST}/{domain}_list.txt",), None, md5,
                     (f"DomainNet-126/{domain}_list.txt",))
                for domain, md5 in DOMAINNET_LISTS
            ),
        ),
    ),
    Entry(
        "imagenet_d109", "ImageNet-D109, of DomainNet", "DomainNet-126",
        "<domain>/<class>/*.jpg and imagenet_d109_lists/<domain>_list.txt, lines '<path> <label>'",
        "fair use for research", "see the page of DomainNet",
        "http://ai.bu.edu/M3SDA/",
        (
            domainnet_file("groundtruth/clipart.zip", "cd0d8f2d77a4e181449b78ed62bccf1e"),
            domainnet_file("infograph.zip", "720380b86f9e6ab4805bb38b6bd135f8"),
            domainnet_file("groundtruth/painting.zip"),
            domainnet_file("real.zip"),
            domainnet_file("sketch.zip"),
            *(
                File(f"{domain}_list.txt", (f"{DOEBLER}/{domain}_list.txt",), None, md5,
                     (f"DomainNet-126/imagenet_d109_lists/{domain}_list.txt",))
                for domain, md5 in D109_LISTS
            ),
        ),
    ),
    Entry(
        "ccc", "CCC, continuously changing corruptions", "CCC",
        "<stream>/serial_<00000 ...>.tar, or ccc_accuracy_matrix.pickle for generating",
        "MIT", IMAGENET_TERMS, "https://github.com/oripress/CCC",
        (File("ccc_accuracy_matrix.pickle",
              ("https://nc.mlcloud.uni-tuebingen.de/index.php/s/izTMnXkaHoNBZT4/download/"
               "ccc_accuracy_matrix.pickle",),
              unpacks_to=("CCC/ccc_accuracy_matrix.pickle",)),),
    ),
)  # fmt: skip


def entry(name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none.
    """
    for candidate in ENTRIES:
        if candidate.name == name:
            return candidate
    raise ValueError(f"expected a data set ({', '.join(names())}), got {name!r}")


def names() -> Iterator[str]:
    """The names of all entries."""
    return (candidate.name for candidate in ENTRIES)


def folder(name: str, root: str | Path) -> Path:
    """Where the data set lies under ``root``.

    Raises:
        ValueError: nothing lies there; the message says what to do.
    """
    chosen = entry(name)
    path = Path(root).expanduser() / chosen.folder
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder ({chosen.layout}); {chosen.remedy()}")
    return path
