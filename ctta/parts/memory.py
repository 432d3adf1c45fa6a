"""A memory of unit features and labels: rows of the source, then rows of the stream."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ctta.data.source import SourceData
from ctta.models.source import SourceModel

BLOCK = 8192  # rows that are compared at once, and for which room is made at once


@torch.no_grad()
def unit_features(model: SourceModel, source: SourceData) -> Tensor:
    """Features [M,D] of all images, of unit length, where ``model`` is and in its type."""
    like = next(model.parameters())
    rows = like.new_empty(len(source), model.n_features)  # filled, never joined
    for part, (x, _) in zip(torch.split(rows, 256), source.batches(256), strict=True):
        part.copy_(F.normalize(model.features_and_logits(x.to(like.device))[0]))
    return rows


def random_row(width: int, generator: torch.Generator) -> Tensor:
    """[1,D], uniform, not of unit length: as the official AdaNPC begins its memory."""
    bound = math.sqrt(3 / width)
    return (2 * torch.rand(1, width, generator=generator) - 1) * bound


class FeatureMemory:
    """Source rows that stay, and stream rows that are added in place.

    No row is ever copied to make room for another. Only the stream rows are state: the source rows
    come from the preparation.

    Args:
        source: pairs of features [M,D] and labels int64 [M], at least one; used as they are.
        max_rows: of the stream; the oldest are overwritten. None: no bound.
    """

    def __init__(self, *source: tuple[Tensor, Tensor], max_rows: int | None = None) -> None:
        self.source = source
        self.max_rows = max_rows
        self.added: list[tuple[Tensor, Tensor]] = []  # `BLOCK` rows each, or ``max_rows``
        self.n_added = 0  # ever; those that are kept are the last ``n_kept``

    @property
    def n_kept(self) -> int:
        """Stream rows at hand."""
        return self.n_added if self.max_rows is None else min(self.n_added, self.max_rows)

    def __len__(self) -> int:
        return sum(len(labels) for _, labels in self.source) + self.n_kept

    def rows(self) -> Tensor:
        """A copy of all rows [M,D], the source's first."""
        return torch.cat([rows for rows, _ in (*self.source, *self.stream_blocks())])

    def labels(self) -> Tensor:
        """The labels of `rows`."""
        return torch.cat([labels for _, labels in (*self.source, *self.stream_blocks())])

    def add(self, rows: Tensor, labels: Tensor) -> None:
        """Append stream rows, or overwrite the oldest where there is a bound."""
        limit = self.max_rows or self.n_added + len(rows)
        rows, labels = rows[-limit:], labels[-limit:]
        while len(rows):
            place = self.n_added % (self.max_rows or limit)
            block, start = divmod(place, BLOCK)
            n = min(len(rows), BLOCK - start, limit - place)
            own_rows, own_labels = self.room(block)
            own_rows[start : start + n], own_labels[start : start + n] = rows[:n], labels[:n]
            rows, labels = rows[n:], labels[n:]
            self.n_added += n

    def room(self, block: int) -> tuple[Tensor, Tensor]:
        """A block of the stream's rows; the next one is made here."""
        if block == len(self.added):
            rows, labels = self.source[0]
            n = min(BLOCK, self.max_rows or BLOCK)
            self.added.append((rows.new_empty(n, rows.shape[1]), labels.new_empty(n)))
        return self.added[block]

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Similarities [B,k] (inner products) and labels [B,k] of the k most similar rows.

        k is cut to the number of rows. Exact: the best of each block, then the best of these.
        """
        k = min(k, len(self))
        best, labels = [], []
        for rows, own in self.blocks():
            top = (queries @ rows.T).topk(min(k, len(own)))
            best.append(top.values)
            labels.append(own[top.indices])
        top = torch.cat(best, 1).topk(k)
        return top.values, torch.cat(labels, 1).gather(1, top.indices)

    def vote_within(
        self, queries: Tensor, radius: float, best: Tensor, temperature: float, n_classes: int
    ) -> Tensor:
        """For each class the softmax of similarity / temperature, over all rows that are at least
        as similar as ``radius``, summed over its rows [B,K].

        Args:
            queries: [B,D].
            radius: a similarity; each query has a row that is nearer.
            best: the largest similarity of each query [B,1].
            temperature: of the softmax.
            n_classes: K.
        """
        votes = best.new_zeros(len(queries), n_classes)
        for rows, labels in self.blocks():
            # The softmax over all rows, a block at a time: every exponent counts from the best.
            similarity = queries @ rows.T
            weights = ((similarity - best) / temperature).exp()
            votes = votes.index_add(1, labels, weights.masked_fill(similarity < radius, 0))
        return votes / votes.sum(1, keepdim=True)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and labels, a block at a time."""
        for rows, labels in self.source:
            for start in range(0, len(labels), BLOCK):
                yield rows[start : start + BLOCK], labels[start : start + BLOCK]
        yield from self.stream_blocks()

    def stream_blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The filled part of what the stream has added."""
        for block, start in enumerate(range(0, self.n_kept, BLOCK)):
            rows, labels = self.added[block]
            yield rows[: self.n_kept - start], labels[: self.n_kept - start]

    def state_dict(self) -> dict[str, Any]:
        """The stream rows, not copied."""
        return {"blocks": list(self.stream_blocks()), "n_added": self.n_added}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the saved stream rows."""
        for block, (rows, labels) in enumerate(state["blocks"]):
            own_rows, own_labels = self.room(block)
            own_rows[: len(rows)], own_labels[: len(labels)] = rows, labels
        self.n_added = state["n_added"]
