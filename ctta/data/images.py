"""Images that are read when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


class Images(Protocol):
    """What a tensor [N,C,H,W] and a set of files have in common."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: slice | Tensor, /) -> Tensor:
        """The images at a slice, at numbers int64 [n] or where a mask bool [N] is true."""


def some(images: Images, numbers: Tensor) -> Tensor:
    """The images ``numbers``, int64 [n]; of a tensor in less time than by its brackets."""
    return images.index_select(0, numbers) if isinstance(images, Tensor) else images[numbers]


class Pixels(ABC):
    """uint8 images [N,3,H,W] that are not in memory; only those asked for are read."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 [n,3,H,W]: the images ``indices``, in that order."""

    def __getitem__(self, chosen: slice | Tensor, /) -> Tensor:
        return self.read(numbers(chosen, len(self)))


class Floats:
    """uint8 images as float32 in [0,1], converted when they are asked for.

    Args:
        images: uint8 [N,3,H,W].
        side: they are resized to it, bilinearly, with the corners' pixels not aligned; None: not.
    """

    def __init__(self, images: Images, side: int | None = None) -> None:
        self.images, self.side = images, side

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: slice | Tensor, /) -> Tensor:
        images = self.images[chosen].float() / 255
        if self.side is None:
            return images
        return F.interpolate(images, size=(self.side, self.side), mode="bilinear")


class Chosen:
    """Some of the images, by their numbers.

    Args:
        images: all of them.
        order: int64 [n].
    """

    def __init__(self, images: Images, order: Tensor) -> None:
        self.images, self.order = images, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, chosen: slice | Tensor, /) -> Tensor:
        return self.images[self.order[chosen]]


def numbers(chosen: slice | Tensor, n: int) -> NDArray[np.int64]:
    """``chosen`` as numbers of samples among ``n``."""
    if isinstance(chosen, slice):
        return np.arange(n, dtype=np.int64)[chosen]
    if chosen.dtype == torch.bool:
        return chosen.nonzero().flatten().numpy()
    return chosen.numpy().astype(np.int64)
