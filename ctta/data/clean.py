"""Clean ImageNet: the validation set for forgetting, the training set for preparations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ctta.data import catalogue
from ctta.data.base import Labelled
from ctta.data.decoding import ImageFiles, View, names_sha256
from ctta.data.folders import imagenet_folder
from ctta.data.images import Chosen

log = logging.getLogger("ctta")
N_CLEAN = 5000
VIEW = View(resize=256, crop=224)
Files = tuple[list[str], NDArray[np.int64]]


def imagenet_test(root: Path, *, workers: int, chosen: Files | None = None) -> Labelled | None:
    """The validation set by class folders, or the images ``chosen`` of it; None without one.

    Raises:
        ValueError: a folder that is not as published, or an image that is not there.
    """
    found = catalogue.entry("imagenet")
    folder = root / found.folder / "val"
    if not folder.is_dir():
        log.warning("no %s: forgetting is not measured; %s", folder, found.remedy())
        return None
    if chosen is None:
        return imagenet_folder(folder, view=VIEW, remedy=found.remedy(), workers=workers)
    names, labels = chosen
    files = ImageFiles(folder, names, view=VIEW, remedy=found.remedy(), workers=workers)
    files.require_all()
    return Labelled(files, labels, f"{names_sha256(names, labels)}, {VIEW}")


def thinned(whole: Labelled | None, n_images: int | None) -> Labelled | None:
    """At most 5,000 images (or ``n_images``, if that is less), evenly spread over all.

    Forgetting is measured before and after a stream; with all 50,000 it would take longer than
    most streams.
    """
    if whole is None:
        return None
    n = min(N_CLEAN, len(whole.labels), n_images or N_CLEAN)
    own = np.linspace(0, len(whole.labels) - 1, n).round().astype(np.int64)
    images = Chosen(whole.images, torch.from_numpy(own))
    return Labelled(images, whole.labels[own], f"{whole.identity}, {n} of them")


def imagenet_train(root: Path, *, workers: int) -> Labelled:
    """The training set by class folders.

    Raises:
        ValueError: it is not there, or not as published.
    """
    found = catalogue.entry("imagenet")
    folder = root / found.folder / "train"
    return imagenet_folder(folder, view=VIEW, remedy=found.remedy(), workers=workers)


def of_classes(whole: Labelled, classes: Sequence[int]) -> Labelled:
    """The images of ``classes``; their labels are positions among these."""
    assert isinstance(whole.images, ImageFiles)
    position = {number: place for place, number in enumerate(classes)}
    (own,) = np.nonzero(np.isin(whole.labels, list(classes)))
    files = ImageFiles(
        whole.images.folder,
        [whole.images.names[i] for i in own.tolist()],
        view=whole.images.view,
        remedy=whole.images.remedy,
        workers=whole.images.workers,
    )
    labels = np.array([position[n] for n in whole.labels[own].tolist()], dtype=np.int64)
    return Labelled(files, labels, f"{whole.identity}, {len(classes)} classes")
