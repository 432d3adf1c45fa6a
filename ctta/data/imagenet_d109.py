"""ImageNet-D109: five styles of DomainNet, in 109 of its classes that are classes of ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ctta.data import catalogue
from ctta.data.base import DataSet, Labelled, domains
from ctta.data.clean import imagenet_test, imagenet_train, of_classes, thinned
from ctta.data.decoding import View
from ctta.data.folders import listed_images
from ctta.data.stamp import verified

# The published sequence leaves out quickdraw, which has a list all the same.
DOMAINS: Final = ("clipart", "infograph", "painting", "real", "sketch")
EXTRA: Final = ("quickdraw",)
# ImageNet's number of each class, from aircraft carrier (403) to zebra (340): those of
# DomainNet's classes that stand for one class of ImageNet, and it for no other of theirs.
# Source: mariodoebler/test-time-adaptation at 8b2ed63, classification/datasets/imagenet_subsets.py.
CLASSES: Final = (
    403, 407, 310, 414, 954, 425, 790, 430, 435, 831, 309, 785, 703, 447, 455, 457, 937, 462,
    463, 354, 470, 471, 472, 483, 486, 497, 635, 49, 534, 799, 48, 740, 103, 543, 998, 549,
    767, 545, 552, 130, 567, 587, 515, 334, 746, 417, 604, 104, 615, 623, 607, 626, 437, 629,
    637, 650, 651, 947, 677, 679, 628, 544, 24, 696, 701, 145, 721, 953, 963, 748, 761, 491,
    776, 71, 784, 349, 792, 797, 113, 801, 805, 806, 814, 910, 335, 823, 919, 827, 949, 833,
    843, 845, 610, 849, 850, 851, 672, 292, 859, 866, 920, 466, 875, 513, 879, 883, 889, 897,
    340,
)  # fmt: skip


class ImageNetD109(DataSet):
    """The images of the benchmark's lists, one list a style; the model keeps 109 outputs.

    Args:
        root: folder of all data sets.
        resize: the shorter side before the crop; 256 for torchvision's ResNet-50 V1.
        crop: side of the centre.
        interpolation: of the resizing, ``bilinear`` or ``bicubic``.
        corruptions: the domains in order; None: the five of the benchmark.
        n_images: the first n of each list; None: all.
        workers: threads that decode.

    Raises:
        ValueError: a value out of range, or a list or an image that is missing.
    """

    name = "imagenet_d109"
    n_classes = len(CLASSES)
    classes: Sequence[int] = CLASSES

    def __init__(
        self,
        *,
        root: str | Path,
        resize: int = 256,
        crop: int = 224,
        interpolation: str = "bilinear",
        corruptions: Sequence[str] | None = None,
        n_images: int | None = None,
        workers: int = 2,
    ) -> None:
        if n_images is not None and n_images < 1:
            raise ValueError(f"n_images: expected at least 1, got {n_images}")
        self.n_images, self.workers = n_images, workers
        self.corruptions = domains(corruptions, DOMAINS, EXTRA)
        self.view = View(resize=resize, crop=crop, interpolation=interpolation)
        self.root = Path(root).expanduser()
        self.folder = catalogue.folder(self.name, root)
        self.remedy = catalogue.entry(self.name).remedy()

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, hashes of the lists, the outputs kept, the preprocessing."""
        return {
            "id": self.name,
            "version": self.version,
            "lists_sha256": {d: self.domain(d, 0).identity for d in self.corruptions},
            "classes": list(self.classes),
            "preprocessing": f"{self.view}, uint8 / 255",
        }

    def samples(self, corruption: str, severity: int) -> Labelled:
        """The first ``n_images`` of a list; all of them must be there."""
        return listed_images(
            self.folder,
            self.folder / "imagenet_d109_lists" / f"{corruption}_list.txt",
            self.n_classes,
            n_images=self.n_images,
            view=self.view,
            remedy=self.remedy,
            workers=self.workers,
        )

    def verified(self) -> bool | None:
        """See `ctta.data.stamp.verified`."""
        return verified(self.name, self.root)

    def clean_samples(self) -> Labelled | None:
        """ImageNet's validation images of the classes; None where they are not there."""
        whole = imagenet_test(self.root, workers=self.workers)
        return None if whole is None else thinned(of_classes(whole, self.classes), self.n_images)

    def training_samples(self) -> Labelled:
        """ImageNet's training images of the classes."""
        return of_classes(imagenet_train(self.root, workers=self.workers), self.classes)
