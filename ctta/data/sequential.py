"""Data sets that are read from the front to the back: streams that nobody holds as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from torch import Tensor

from ctta.data.base import LabelledData


class SequentialData(LabelledData):
    """Labelled images in one fixed order.

    Attributes:
        n_images: where the stream ends.
    """

    n_images: int

    @abstractmethod
    def blocks(self, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 [n,3,H,W] and labels int64 [n] from number ``start`` on, ``size`` a time.

        The last block may be short.
        """
