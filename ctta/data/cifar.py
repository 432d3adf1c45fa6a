"""CIFAR-10-C and CIFAR-100-C, with the clean sets that they come from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.data import catalogue, plain_pickle
from ctta.data.base import DataSet, Labelled, checked_labels, checked_severity, domains
from ctta.data.corruptions import CORRUPTIONS, VALIDATION_CORRUPTIONS
from ctta.data.images import Pixels
from ctta.data.stamp import verified

log = logging.getLogger("ctta")
N_TEST = 10_000
SHAPE = (5 * N_TEST, 32, 32, 3)


class CifarC(DataSet):
    """The published corrupted test images, memory-mapped; 19 corruptions, five severities.

    Severity s occupies the rows from (s-1) * 10,000 on; a row holds the same clean image in every
    corruption (hendrycks/robustness, issues 21 and 57).

    Args:
        root: folder of all data sets.
        severity: 1 to 5, what a stream shows unless its schedule says otherwise.
        corruptions: the domains in order; None: the 15 of the benchmark.
        n_images: the first n of the test images; None: all 10,000.
        resize: side that the images are resized to, bilinearly; None: 32x32, as they are.

    Raises:
        ValueError: a value out of range, or a file that is missing or not as published.
    """

    clean_name: ClassVar[str]

    def __init__(
        self,
        *,
        root: str | Path,
        severity: int = 5,
        corruptions: Sequence[str] | None = None,
        n_images: int | None = None,
        resize: int | None = None,
    ) -> None:
        if resize is not None and resize < 1:
            raise ValueError(f"resize: expected at least 1, got {resize}")
        self.resize = resize
        self.severity = checked_severity(severity)
        self.corruptions = domains(corruptions, CORRUPTIONS, VALIDATION_CORRUPTIONS)
        if n_images is not None and not 1 <= n_images <= N_TEST:
            raise ValueError(f"n_images: expected 1 to {N_TEST}, got {n_images}")
        self.n_images = n_images or N_TEST
        self.root = Path(root).expanduser()
        self.folder = catalogue.folder(self.name, root)
        path, remedy = self.folder / "labels.npy", catalogue.entry(self.name).damaged()
        labels = mapped(path, self.name)
        if labels.shape != SHAPE[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: expected {SHAPE[0]} whole numbers, got {labels.dtype} "
                f"{list(labels.shape)}; {remedy}"
            )
        first = np.asarray(labels[: self.n_images])
        self.targets = checked_labels(first, self.n_classes, path, remedy)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, the labels' hash and the preprocessing."""
        resized = "" if self.resize is None else f"resize {self.resize} bilinear, as stored, "
        return {
            "id": self.name,
            "version": self.version,
            "labels_sha256": hashlib.sha256(self.targets.tobytes()).hexdigest(),
            "preprocessing": f"{resized}uint8 / 255",
        }

    def samples(self, corruption: str, severity: int) -> Labelled:
        """The rows of one corruption at one severity."""
        path = self.folder / f"{corruption}.npy"
        rows = mapped(path, self.name)
        if rows.shape != SHAPE or rows.dtype != np.uint8:
            raise ValueError(
                f"{path}: expected uint8 {list(SHAPE)}, got {rows.dtype} {list(rows.shape)}; "
                f"{catalogue.entry(self.name).damaged()}"
            )
        first = (checked_severity(severity) - 1) * N_TEST
        own = rows[first : first + self.n_images]
        return Labelled(Rows(own), self.targets, f"{self.name}/{corruption}-{severity}")

    def verified(self) -> bool | None:
        """See `ctta.data.stamp.verified`."""
        return verified(self.name, self.root)

    def clean_samples(self) -> Labelled | None:
        """The clean test images, in the order of the corrupted ones; None if they are not there."""
        if not (self.root / catalogue.entry(self.clean_name).folder).is_dir():
            log.warning(
                "%s is not in %s: forgetting is not measured; %s",
                catalogue.entry(self.clean_name).title,
                self.root,
                catalogue.entry(self.clean_name).remedy(),
            )
            return None
        test = clean(self.clean_name, self.root, "test")
        chosen = slice(self.n_images)
        return Labelled(test.images[chosen], test.labels[chosen], test.identity)

    def training_samples(self) -> Labelled:
        """The clean training images."""
        return clean(self.clean_name, self.root, "train")


class Cifar10C(CifarC):
    """CIFAR-10-C, see `CifarC`."""

    name, clean_name, n_classes = "cifar10_c", "cifar10", 10


class Cifar100C(CifarC):
    """CIFAR-100-C, see `CifarC`."""

    name, clean_name, n_classes = "cifar100_c", "cifar100", 100


class Rows(Pixels):
    """Some rows of a memory-mapped array.

    Args:
        rows: uint8 [N,H,W,3].
    """

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 [n,3,H,W]."""
        chosen = np.ascontiguousarray(self.rows[indices].transpose(0, 3, 1, 2))
        return torch.from_numpy(chosen)


def mapped(path: Path, name: str) -> NDArray[Any]:
    """The array of an npy file, memory-mapped.

    Raises:
        ValueError: no such file, or it is truncated or no npy file of numbers.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; {catalogue.entry(name).remedy()}")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: truncated, or no array ({reason}); {catalogue.entry(name).damaged()}"
        ) from None
    return array


# Files, images in each, and the key of the labels.
CLEAN = {
    ("cifar10", "test"): (("test_batch",), N_TEST, "labels", 10),
    ("cifar10", "train"): (tuple(f"data_batch_{i}" for i in range(1, 6)), 10_000, "labels", 10),
    ("cifar100", "test"): (("test",), N_TEST, "fine_labels", 100),
    ("cifar100", "train"): (("train",), 50_000, "fine_labels", 100),
}


def clean(name: str, root: str | Path, split: str) -> Labelled:
    """CIFAR-10 or CIFAR-100 from the published python batches, uint8 [N,3,32,32] in memory.

    Args:
        name: ``cifar10`` or ``cifar100``.
        root: folder of all data sets.
        split: ``test`` or ``train``.

    Raises:
        ValueError: a file is missing or not as published.
    """
    folder, remedy = catalogue.folder(name, root), catalogue.entry(name).damaged()
    files, n_images, key, n_classes = CLEAN[name, split]
    images, labels = [], []
    for file in files:
        path = folder / file
        if not path.is_file():
            raise ValueError(f"{path}: no such file; {catalogue.entry(name).remedy()}")
        content = plain_pickle.read(path, remedy)
        data = content.get("data") if isinstance(content, dict) else None
        own = content.get(key) if isinstance(content, dict) else None
        if (
            not isinstance(data, np.ndarray)
            or data.dtype != np.uint8
            or data.shape != (n_images, 3 * 32 * 32)
            or not isinstance(own, list)
            or len(own) != n_images
            or not all(isinstance(label, int) for label in own)
        ):
            raise ValueError(
                f"{path}: expected 'data', uint8 [{n_images}, 3072], and '{key}', as many whole "
                f"numbers; {remedy}"
            )
        images.append(data.reshape(-1, 3, 32, 32))
        labels.append(checked_labels(np.array(own), n_classes, path, remedy))
    pixels, targets = np.concatenate(images), np.concatenate(labels)
    digest = hashlib.sha256(targets.tobytes())
    digest.update(pixels.tobytes())
    return Labelled(torch.from_numpy(pixels), targets, digest.hexdigest())
