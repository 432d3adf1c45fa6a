"""One's own images, and any clean images corrupted on the fly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ctta.data import catalogue, cifar
from ctta.data.base import DataSet, Labelled
from ctta.data.clean import imagenet_test, imagenet_train
from ctta.data.corrupted import CorruptedImages
from ctta.data.decoding import ImageFiles, View, names_sha256
from ctta.data.folders import class_folders, imagenet_wnids, images_of
from ctta.data.images import Chosen
from ctta.data.stamp import verified

KNOWN = ("cifar10", "cifar100", "imagenet")
REMEDY = "give another dataset.root, a folder of class folders with images"


class Folder(DataSet):
    """Class folders of images as one domain.

    Args:
        root: the folder; its folders' sorted names are the classes.
        classes: ``sorted``: labels are positions among the folders; ``imagenet``: the folders are
            wnids, and labels are the numbers of the 1,000 classes.
        resize: the shorter side before the crop.
        crop: side of the centre.
        n_images: the first n; None: all.
        workers: threads that decode.

    Raises:
        ValueError: a value out of range, no such folder, or images without labels.
    """

    name = "folder"

    def __init__(
        self,
        *,
        root: str | Path,
        classes: Literal["sorted", "imagenet"] = "sorted",
        resize: int = 256,
        crop: int = 224,
        n_images: int | None = None,
        workers: int = 2,
    ) -> None:
        folder, view = Path(root).expanduser(), View(resize=resize, crop=crop)
        self.corruptions = (self.name,)
        names, labels, self.n_classes = class_files(folder, classes)
        if n_images is not None and not 1 <= n_images <= len(names):
            raise ValueError(f"n_images: expected 1 to {len(names)}, got {n_images}")
        self.images_and_labels = labelled_files(
            folder, names[:n_images], labels[:n_images], view=view, workers=workers
        )

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, and the hash of names, labels and preprocessing."""
        return {
            "id": self.name,
            "version": self.version,
            "list_sha256": self.images_and_labels.identity,
            "n_classes": self.n_classes,
        }

    def samples(self, corruption: str, severity: int) -> Labelled:
        """All images."""
        return self.images_and_labels


def class_files(folder: Path, classes: str) -> tuple[list[str], NDArray[np.int64], int]:
    """Names, labels and the number of classes of a folder of class folders.

    Raises:
        ValueError: no such folder, images without labels, or a folder that is no class.
    """
    found = class_folders(folder, REMEDY)
    if classes == "sorted":
        return *images_of(folder, found, range(len(found)), REMEDY), len(found)
    if classes != "imagenet":
        raise ValueError(f"classes: expected sorted or imagenet, got {classes!r}")
    wnids = imagenet_wnids()
    for name in found:
        if name not in wnids:
            raise ValueError(
                f"{folder / name}: expected the name of a class of ImageNet, as n01440764; type "
                "dataset.classes=sorted"
            )
    return *images_of(folder, found, [wnids[n] for n in found], REMEDY), len(wnids)


def labelled_files(
    folder: Path, names: list[str], labels: NDArray[np.int64], *, view: View, workers: int
) -> Labelled:
    """Files with labels, named by both, the view and the files' sizes."""
    files = ImageFiles(folder, names, view=view, remedy=REMEDY, workers=workers)
    sized = [f"{name} {(folder / name).stat().st_size}" for name in names]
    return Labelled(files, labels, f"{names_sha256(sized, labels)}, {view}")


def corrupted(
    *,
    root: str | Path,
    base: str,
    severity: int = 5,
    corruptions: Sequence[str] | None = None,
    corruption_seed: int = 0,
    second_jpeg: bool = False,
    frost_textures: str | Path | None = None,
    corrupt_on: Literal["cpu", "cuda"] = "cpu",
    classes: Literal["sorted", "imagenet"] = "sorted",
    resize: int = 256,
    crop: int = 224,
    n_images: int | None = None,
    workers: int = 2,
) -> CorruptedImages:
    """A clean data set under the 15 + 4 corruptions.

    Args:
        root: folder of all data sets.
        base: ``cifar10``, ``cifar100``, ``imagenet`` (its validation set), or the path
            of a folder of class folders.
        severity: see `CorruptedImages`, like the next five.
        corruptions: see there.
        corruption_seed: see there.
        second_jpeg: see there.
        frost_textures: see there.
        corrupt_on: see there.
        classes: of a folder, see `Folder`.
        resize: of a folder: the shorter side before the crop.
        crop: of a folder: side of the centre.
        n_images: the first n; None: all.
        workers: threads that decode files.

    Raises:
        ValueError: a value out of range, or a base that is not there.
    """
    data_root = Path(root).expanduser()
    train: Callable[[], Labelled] | None
    if base in ("cifar10", "cifar100"):
        test = cifar.clean(base, data_root, "test")
        train = partial(cifar.clean, base, data_root, "train")
    elif base == "imagenet":
        folder = catalogue.folder(base, root) / "val"
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; {catalogue.entry(base).remedy()}")
        found = imagenet_test(data_root, workers=workers)
        assert found is not None
        test, train = found, partial(imagenet_train, data_root, workers=workers)
    else:
        folder = Path(base).expanduser()
        if not folder.is_dir():
            raise ValueError(
                f"base: expected {', '.join(KNOWN)} or a folder of class folders, got {base!r}"
            )
        names, labels, _ = class_files(folder, classes)
        view = View(resize=resize, crop=crop)
        test, train = labelled_files(folder, names, labels, view=view, workers=workers), None
    if n_images is not None and not 1 <= n_images <= len(test.labels):
        raise ValueError(f"n_images: expected 1 to {len(test.labels)}, got {n_images}")
    chosen = test.images if n_images is None else Chosen(test.images, torch.arange(n_images))
    return CorruptedImages(
        chosen,
        torch.from_numpy(test.labels[:n_images]),
        name=f"{base if base in KNOWN else 'own'}_corrupted",
        content_sha256=test.identity if n_images is None else f"{test.identity}, first {n_images}",
        severity=severity,
        corruptions=corruptions,
        corruption_seed=corruption_seed,
        second_jpeg=second_jpeg,
        frost_textures=frost_textures,
        train=train,
        verified=verified(base, data_root) if base in KNOWN else None,
        corrupt_on=corrupt_on,
    )
