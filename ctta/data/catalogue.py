"""What can be had where: files, sizes, checksums, licences and folder names of the data sets.

Sources: the Zenodo records, the repositories and project pages that each entry names, and
torchvision 0.29 for the clean CIFAR sets. None stands for what no readable page states.
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
        url: where it is, or None where a login or a form stands before it.
        size: bytes.
        md5: of the whole file.
        unpacks_to: what is there once it is unpacked, relative to the root of all data.
    """

    name: str
    url: str | None
    size: int | None = None
    md5: str | None = None
    unpacks_to: tuple[str, ...] = ()


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
        files: what is downloaded; empty: by hand, see ``page``.
        md5: of files in ``folder`` once it is unpacked.
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

    def remedy(self) -> str:
        """What to do when a file is not there, as the end of a message."""
        return f"get it from {self.page}, or set CTTA_DATA (paths.data)"

    def damaged(self) -> str:
        """What to do when a file is not what it should be, as the end of a message."""
        return f"delete it; {self.remedy()}"


def zenodo(record: int, file: str) -> str:
    """Address of a file in a Zenodo record."""
    return f"https://zenodo.org/records/{record}/files/{file}?download=1"


def imagenet_c_file(group: str, size: int, md5: str, *corruptions: str) -> File:
    """One archive of record 2235448."""
    name = f"{group}.tar"
    folders = tuple(f"ImageNet-C/{corruption}" for corruption in corruptions)
    return File(name, zenodo(2235448, name), size, md5, folders)


IMAGENET_TERMS: Final = "the images fall under the terms of ImageNet (non-commercial research)"
CIFAR_TERMS: Final = "generator under Apache-2.0; see the record before redistributing"
HENDRYCKS: Final = "https://people.eecs.berkeley.edu/~hendrycks"
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
        (File("CIFAR-10-C.tar", zenodo(2535967, "CIFAR-10-C.tar"), 2918471680,
              "56bf5dcef84df0e2308c6dcbcbbd8499", ("CIFAR-10-C",)),),
    ),
    Entry(
        "cifar100_c", "CIFAR-100-C", "CIFAR-100-C",
        "19 corruptions as <corruption>.npy, uint8 (50000, 32, 32, 3), and labels.npy",
        "not stated here", CIFAR_TERMS, "https://zenodo.org/records/3555552",
        (File("CIFAR-100-C.tar", zenodo(3555552, "CIFAR-100-C.tar"), 2918473216,
              "11f0ed0f1191edbf9fa23466ae6021d3", ("CIFAR-100-C",)),),
    ),
    Entry(
        "cifar10", "CIFAR-10", "cifar-10-batches-py", "data_batch_1 to 5 and test_batch",
        "not stated here", "cite the technical report of 2009",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        (File("cifar-10-python.tar.gz",
              "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", None,
              "c58f30108f718f92721af3b95e74349a", ("cifar-10-batches-py",)),),
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
        (File("cifar-100-python.tar.gz",
              "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", None,
              "eb9058c3a382ffc7106e4002c42a8d85", ("cifar-100-python",)),),
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
              "https://raw.githubusercontent.com/RobustBench/robustbench/"
              "78fcc9e48a07a861268f295a777b975f25155964/"
              "robustbench/helper_files/imagenet_test_image_ids.txt", 194999,
              "8de8bbba2cf05cb54190e49247375985",
              ("imagenet_ids/imagenet_test_image_ids.txt",)),),
    ),
    Entry(
        "imagenet_3dcc", "ImageNet-3DCC", "ImageNet-3DCC",
        "<corruption>/<severity 1 to 5>/<wnid>/*.JPEG",
        "tools under CC BY-NC 4.0", IMAGENET_TERMS,
        "https://github.com/EPFL-VILAB/3DCommonCorruptions",
        tuple(
            File(f"{name}.tar.gz", f"https://datasets.epfl.ch/3dcc/imagenet_3dcc/{name}.tar.gz",
                 unpacks_to=(f"ImageNet-3DCC/{name}",))
            for name in THREE_D_CORRUPTIONS
        ),
    ),
    Entry(
        "imagenet_r", "ImageNet-R", "imagenet-r", "<wnid>/*.jpg, 30,000 images of 200 classes",
        "repository MIT", IMAGENET_TERMS, "https://github.com/hendrycks/imagenet-r",
        (File("imagenet-r.tar", f"{HENDRYCKS}/imagenet-r.tar", None,
              "a61312130a589d0ca1a8fca1f2bd3337", ("imagenet-r",)),),
    ),
    Entry(
        "imagenet_a", "ImageNet-A", "imagenet-a", "<wnid>/*.jpg of 200 classes",
        "repository MIT", IMAGENET_TERMS,
        "https://github.com/hendrycks/natural-adv-examples",
        (File("imagenet-a.tar", f"{HENDRYCKS}/imagenet-a.tar", 687552512,
              "c3e55429088dc681f30d81f4726b6595", ("imagenet-a",)),),
    ),
    Entry(
        "imagenet_v2", "ImageNet-V2", "imagenet-v2",
        "imagenetv2-<variant>-format-val/<0 to 999>/*.jpeg, 10,000 images",
        "repository MIT", IMAGENET_TERMS, "https://huggingface.co/datasets/vaishaal/ImageNetV2",
        tuple(
            File(f"imagenetv2-{variant}.tar.gz",
                 "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/"
                 f"imagenetv2-{variant}.tar.gz",
                 unpacks_to=(f"imagenet-v2/imagenetv2-{variant}-format-val",))
            for variant in V2_VARIANTS
        ),
    ),
    Entry(
        "imagenet_sketch", "ImageNet-Sketch", "ImageNet-Sketch",
        "sketch/<wnid>/*.JPEG, about 50 images of each of 1,000 classes",
        "repository MIT", IMAGENET_TERMS, "https://github.com/HaohanWang/ImageNet-Sketch",
    ),
    Entry(
        "domainnet126", "DomainNet-126", "DomainNet-126",
        "<domain>/<class>/*.jpg and <domain>_list.txt, lines '<path> <label>'",
        "fair use for research", "see the page of DomainNet",
        "http://ai.bu.edu/M3SDA/",
        (
            File("clipart.zip", f"{VISDA}/groundtruth/clipart.zip", None,
                 "cd0d8f2d77a4e181449b78ed62bccf1e", ("DomainNet-126/clipart",)),
            File("painting.zip", f"{VISDA}/groundtruth/painting.zip",
                 unpacks_to=("DomainNet-126/painting",)),
            File("real.zip", f"{VISDA}/real.zip", unpacks_to=("DomainNet-126/real",)),
            File("sketch.zip", f"{VISDA}/sketch.zip", unpacks_to=("DomainNet-126/sketch",)),
            *(
                File(f"{domain}_list.txt", f"{ADACONTRAST}/{domain}_list.txt", None, md5,
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
            File("clipart.zip", f"{VISDA}/groundtruth/clipart.zip", None,
                 "cd0d8f2d77a4e181449b78ed62bccf1e", ("DomainNet-126/clipart",)),
            File("infograph.zip", f"{VISDA}/infograph.zip", None,
                 "720380b86f9e6ab4805bb38b6bd135f8", ("DomainNet-126/infograph",)),
            File("painting.zip", f"{VISDA}/groundtruth/painting.zip",
                 unpacks_to=("DomainNet-126/painting",)),
            File("real.zip", f"{VISDA}/real.zip", unpacks_to=("DomainNet-126/real",)),
            File("sketch.zip", f"{VISDA}/sketch.zip", unpacks_to=("DomainNet-126/sketch",)),
            *(
                File(f"{domain}_list.txt", f"{DOEBLER}/{domain}_list.txt", None, md5,
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
              "https://nc.mlcloud.uni-tuebingen.de/index.php/s/izTMnXkaHoNBZT4/download/"
              "ccc_accuracy_matrix.pickle",
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
