"""``digits_c``: scikit-learn's handwritten digits under the common corruptions. No download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ctta.data.corrupted import CorruptedImages

VERSION = 1
N_TRAIN = 1000
SIDE = 32


class DigitsC(CorruptedImages):
    """1,797 real images of 10 classes, 1,000 for training and 797 for the stream, as 32x32x3.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, test part, as
    ``sklearn.datasets.load_digits`` ships it.

    Args:
        n_images: the first n of the test images; None: all 797.
        severity: see `CorruptedImages`, like the rest.
        corruptions: see there.
        corruption_seed: see there.
        corrupt_on: see there.

    Raises:
        ValueError: a value out of range.
    """

    def __init__(
        self,
        *,
        n_images: int | None = None,
        severity: int = 5,
        corruptions: Sequence[str] | None = None,
        corruption_seed: int = 0,
        corrupt_on: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        images, labels = load()
        train, test = stratified_split(labels.numpy(), N_TRAIN)
        if n_images is not None and not 1 <= n_images <= len(test):
            raise ValueError(f"n_images: expected 1 to {len(test)}, got {n_images}")
        chosen = test[:n_images]
        super().__init__(
            images[chosen],
            labels[chosen],
            name="digits_c",
            version=VERSION,
            severity=severity,
            corruptions=corruptions,
            corruption_seed=corruption_seed,
            train=(images[train], labels[train]),
            corrupt_on=corrupt_on,
        )


def load() -> tuple[Tensor, Tensor]:
    """All digits as uint8 [1797,3,32,32], upsampled bilinearly from 8x8, and labels [1797]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    large = F.interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    images = (large * 255).round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    return images, torch.from_numpy(digits.target.astype(np.int64))


def stratified_split(
    labels: NDArray[np.int64], n_train: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training and of the test images, each in file order."""
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        (own,) = np.nonzero(labels == label)
        order = np.random.Generator(np.random.PCG64(int(label))).permutation(len(own))
        rank[own[order]] = (np.arange(len(own)) + 0.5) / len(own)
    by_rank = np.argsort(rank, kind="stable")
    return np.sort(by_rank[:n_train]), np.sort(by_rank[n_train:])
