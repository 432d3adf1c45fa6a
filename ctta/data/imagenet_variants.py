"""ImageNet-R, -A, -V2 and -Sketch: one domain each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctta.data import catalogue
from ctta.data.base import DataSet, Labelled
from ctta.data.clean import imagenet_test, imagenet_train, of_classes, thinned
from ctta.data.decoding import ImageFiles, View, names_sha256
from ctta.data.folders import class_folders, imagenet_files, imagenet_wnids, images_of
from ctta.data.stamp import verified


class ImageNetVariant(DataSet):
    """Base of the four: all images of class folders under one domain.

    Args:
        root: folder of all data sets.
        resize: the shorter side before the crop; 256 for torchvision's ResNet-50 V1.
        crop: side of the centre.
        interpolation: of the resizing, ``bilinear`` or ``bicubic``.
        n_images: the first n; None: all.
        workers: threads that decode.

    Raises:
        ValueError: a value out of range, or a folder that is missing or not as published.
    """

    n_classes = 1000
    inner = ""

    def __init__(
        self,
        *,
        root: str | Path,
        resize: int = 256,
        crop: int = 224,
        interpolation: str = "bilinear",
        n_images: int | None = None,
        workers: int = 2,
    ) -> None:
        self.root, self.workers = Path(root).expanduser(), workers
        self.corruptions = (self.name,)
        self.view = View(resize=resize, crop=crop, interpolation=interpolation)
        self.remedy = catalogue.entry(self.name).remedy()
        self.folder = catalogue.folder(self.name, root) / self.inner
        names, labels = self.files()
        if n_images is not None and not 1 <= n_images <= len(names):
            raise ValueError(f"n_images: expected 1 to {len(names)}, got {n_images}")
        self.n_images = n_images
        self.chosen = names[:n_images], labels[:n_images]

    def files(self) -> tuple[list[str], NDArray[np.int64]]:
        """Names and labels of all images."""
        return imagenet_files(self.folder, self.remedy)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, hash of names and labels, the outputs kept, the preprocessing."""
        return {
            "id": self.name,
            "version": self.version,
            "list_sha256": names_sha256(*self.chosen),
            "classes": None if self.classes is None else list(self.classes),
            "preprocessing": f"{self.view}, uint8 / 255",
        }

    def samples(self, corruption: str, severity: int) -> Labelled:
        """All images."""
        names, labels = self.chosen
        files = ImageFiles(
            self.folder, names, view=self.view, remedy=self.remedy, workers=self.workers
        )
        return Labelled(files, labels, self.name)

    def verified(self) -> bool | None:
        """See `ctta.data.stamp.verified`."""
        return verified(self.name, self.root)

    def clean_samples(self) -> Labelled | None:
        """Images of the validation set, of the set's classes; None where that is not there."""
        whole = imagenet_test(self.root, workers=self.workers)
        return thinned(self.of_the_classes(whole), self.n_images)

    def training_samples(self) -> Labelled:
        """ImageNet's training set, its classes among those of the set."""
        train = self.of_the_classes(imagenet_train(self.root, workers=self.workers))
        assert train is not None
        return train

    def of_the_classes(self, whole: Labelled | None) -> Labelled | None:
        """The images of ``classes``, with the labels of the set."""
        if whole is None or self.classes is None:
            return whole
        return of_classes(whole, self.classes)


class TwoHundred(ImageNetVariant):
    """Base of -R and -A: labels are positions among 200 classes, the other outputs are left out."""

    n_classes = 200
    classes: Sequence[int]

    def files(self) -> tuple[list[str], NDArray[np.int64]]:
        """Names and labels; sets ``classes``."""
        wnids = imagenet_wnids()
        found = [name for name in class_folders(self.folder, self.remedy) if name in wnids]
        if len(found) != self.n_classes:
            raise ValueError(
                f"{self.folder}: expected {self.n_classes} folders of ImageNet's classes, got "
                f"{len(found)}; {self.remedy}"
            )
        self.classes = [wnids[name] for name in found]
        return images_of(self.folder, found, range(len(found)), self.remedy)


class ImageNetR(TwoHundred):
    """ImageNet-R, renditions of 200 classes."""

    name = "imagenet_r"


class ImageNetA(TwoHundred):
    """ImageNet-A, images of 200 classes that a ResNet-50 gets wrong."""

    name = "imagenet_a"


class ImageNetSketch(ImageNetVariant):
    """ImageNet-Sketch, about 50 drawings of each of the 1,000 classes."""

    name, inner = "imagenet_sketch", "sketch"


class ImageNetV2(ImageNetVariant):
    """ImageNet-V2; its folders are named by the number of the class.

    Args:
        variant: ``matched-frequency``, ``threshold0.7`` or ``top-images``.
        root: see `ImageNetVariant`, like the rest.
        resize: see there.
        crop: see there.
        interpolation: see there.
        n_images: see there.
        workers: see there.
    """

    name = "imagenet_v2"

    def __init__(
        self,
        *,
        root: str | Path,
        variant: str = "matched-frequency",
        resize: int = 256,
        crop: int = 224,
        interpolation: str = "bilinear",
        n_images: int | None = None,
        workers: int = 2,
    ) -> None:
        if variant not in catalogue.V2_VARIANTS:
            expected = " or ".join(catalogue.V2_VARIANTS)
            raise ValueError(f"variant: expected {expected}, got {variant!r}")
        self.inner = f"imagenetv2-{variant}-format-val"
        super().__init__(
            root=root,
            resize=resize,
            crop=crop,
            interpolation=interpolation,
            n_images=n_images,
            workers=workers,
        )

    def files(self) -> tuple[list[str], NDArray[np.int64]]:
        """Names and labels, by the number that a folder's name is."""
        found = class_folders(self.folder, self.remedy)
        if set(found) != {str(n) for n in range(self.n_classes)}:
            strange = [n for n in found if not n.isdecimal() or int(n) >= self.n_classes]
            reason = f"got {strange[0]!r}" if strange else f"got {len(found)} of them"
            raise ValueError(
                f"{self.folder}: expected folders 0 to {self.n_classes - 1}, {reason}; "
                f"{self.remedy}"
            )
        ordered = sorted(found, key=int)
        return images_of(self.folder, ordered, range(len(ordered)), self.remedy)
