"""Discs, squares and crosses, drawn anew from their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ctta.data.corrupted import CorruptedImages

SIDE, N_CLASSES, N_TRAIN = 32, 3, 300


class Shapes(CorruptedImages):
    """Bright shapes on a dark ground under the common corruptions.

    Args:
        n_images: test images a corruption.
        severity: see `CorruptedImages`, like the rest.
        corruptions: see there.
        corruption_seed: see there.
    """

    def __init__(
        self,
        *,
        n_images: int,
        severity: int = 5,
        corruptions: Sequence[str] | None = None,
        corruption_seed: int = 0,
    ) -> None:
        super().__init__(
            *drawn(n_images, seed=1),
            name="shapes",
            version=1,
            severity=severity,
            corruptions=corruptions,
            corruption_seed=corruption_seed,
            train=drawn(N_TRAIN, seed=0),
        )


def drawn(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """uint8 [n,3,32,32] and labels [n]: 0 disc, 1 square, 2 cross."""
    generator = np.random.Generator(np.random.PCG64(seed))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, labels = np.empty((n, SIDE, SIDE), np.uint8), np.arange(n) % N_CLASSES
    for number, label in enumerate(labels):
        (row, column), size = generator.uniform(12, 20, 2), generator.uniform(6, 10)
        down, right = np.abs(rows - row), np.abs(columns - column)
        inside = (
            down**2 + right**2 < size**2,
            np.maximum(down, right) < size * 0.8,
            (np.minimum(down, right) < size * 0.25) & (np.maximum(down, right) < size),
        )[label]
        images[number] = np.where(inside, generator.integers(160, 256), 30)
    return torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(
        labels
    )
