"""The training data of a source model, as methods with a preparation see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ctta.data.images import Chosen, Images


@dataclass(frozen=True)
class SourceData:
    """Images and labels of the training split.

    Attributes:
        images: float32 [N,C,H,W] in [0,1]; a tensor, or files that are read when asked for.
        labels: int64 [N].
        identity: SHA-256 of the content.
        split: ``train``; anything else is refused.
    """

    images: Images
    labels: Tensor
    identity: str
    split: str = "train"

    def __post_init__(self) -> None:
        if self.split != "train":
            raise ValueError(
                f"source data: expected the training split, got {self.split!r}; a method must not "
                "see test images before the stream"
            )
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"source data: expected as many labels as images, got {len(self.labels)} and "
                f"{len(self.images)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels in stored order, ``size`` at a time; the last batch may be short."""
        for first in range(0, len(self), size):
            own = slice(first, first + size)
            yield self.images[own], self.labels[own]

    def drawn(self, n: int | None, *, seed: int) -> SourceData:
        """``n`` images (or all, if there are fewer) in random order; in stored order for None."""
        if n is None:
            return self
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(self), generator=generator)[:n]
        identity = f"{self.identity}, {n} drawn with seed {seed}"
        return SourceData(Chosen(self.images, chosen), self.labels[chosen], identity)

    def balanced(self, n_per_class: int) -> SourceData:
        """The first ``n_per_class`` images of each class (fewer where there are fewer)."""
        rank = torch.zeros_like(self.labels)
        for label in torch.unique(self.labels):
            own = self.labels == label
            rank[own] = torch.arange(int(own.sum()))
        chosen = (rank < n_per_class).nonzero().flatten()
        identity = f"{self.identity}, {n_per_class} a class"
        return SourceData(Chosen(self.images, chosen), self.labels[chosen], identity)
