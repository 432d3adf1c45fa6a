"""Source batches without end, for methods that replay them along the stream."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ctta.data.images import some
from ctta.data.source import SourceData
from ctta.seeding import derive


@lru_cache(maxsize=4)
def batches_of_pass(n: int, size: int, seed: int, n_passes: int) -> tuple[Tensor, ...]:
    """Which of ``n`` images the batches of a pass are made of; not to be written into."""
    generator = torch.Generator().manual_seed(derive(seed, f"pass {n_passes}"))
    return torch.split(torch.randperm(n, generator=generator), size)


class SourceBatches:
    """Pass after pass over the training data; the last batch of a pass may be short.

    Its state is a position; copies share the data.

    Args:
        source: the training data.
        size: images a batch.
        seed: of the order, a new one each pass; None: stored order.
    """

    def __init__(self, source: SourceData, size: int, *, seed: int | None) -> None:
        self.source, self.size, self.seed = source, size, seed
        self.n_passes = self.position = 0

    def take(self) -> tuple[Tensor, Tensor]:
        """The next images and labels."""
        if self.position >= len(self.source):
            self.n_passes, self.position = self.n_passes + 1, 0
        first = self.position
        self.position += self.size
        if self.seed is None:
            own = slice(first, self.position)
            return self.source.images[own], self.source.labels[own]
        order = batches_of_pass(len(self.source), self.size, self.seed, self.n_passes)
        chosen = order[first // self.size]
        return some(self.source.images, chosen), self.source.labels.index_select(0, chosen)

    def state_dict(self) -> dict[str, int]:
        """Where it stands."""
        return {"n_passes": self.n_passes, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the saved one stood."""
        self.n_passes, self.position = state["n_passes"], state["position"]

    def __deepcopy__(self, memo: dict[int, Any]) -> SourceBatches:
        return copy.copy(self)
