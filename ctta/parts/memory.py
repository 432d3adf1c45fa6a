"""A memory of unit features and labels: rows of the source, then rows of the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

BLOCK = 16384  # rows that are compared at once; bounds the temporaries


class FeatureMemory:
    """Source rows that stay, and stream rows that are added in place.

    Only the stream rows are state: the source rows come from the preparation.

    Args:
        rows: source features [M0,D].
        labels: int64 [M0].
        max_rows: of the stream; the oldest are overwritten. None: no bound.
    """

    def __init__(self, rows: Tensor, labels: Tensor, *, max_rows: int | None = None) -> None:
        self.source_rows, self.source_labels = rows, labels
        self.max_rows = max_rows
        self.added_rows, self.added_labels = rows[:0], labels[:0]
        self.n_added = 0  # ever; those that are kept are the last ``n_kept``

    @property
    def n_kept(self) -> int:
        """Stream rows at hand."""
        return self.n_added if self.max_rows is None else min(self.n_added, self.max_rows)

    def __len__(self) -> int:
        return len(self.source_labels) + self.n_kept

    def rows(self) -> Tensor:
        """All rows [M,D], the source's first."""
        return torch.cat([self.source_rows, self.added_rows[: self.n_kept]])

    def labels(self) -> Tensor:
        """The labels of `rows`."""
        return torch.cat([self.source_labels, self.added_labels[: self.n_kept]])

    def add(self, rows: Tensor, labels: Tensor) -> None:
        """Append stream rows, or overwrite the oldest where there is a bound."""
        if self.max_rows is not None:
            rows, labels = rows[-self.max_rows :], labels[-self.max_rows :]
        self.make_room(self.n_added + len(rows))
        places = torch.arange(self.n_added, self.n_added + len(rows), device=rows.device)
        if self.max_rows is not None:
            places = places % self.max_rows
        self.added_rows[places] = rows
        self.added_labels[places] = labels
        self.n_added += len(rows)

    def make_room(self, n_rows: int) -> None:
        """Capacity for ``n_rows``; it doubles, so a row is copied a few times at the most."""
        needed = n_rows if self.max_rows is None else min(n_rows, self.max_rows)
        if needed <= len(self.added_labels):
            return
        capacity = max(needed, 2 * len(self.added_labels))
        if self.max_rows is not None:
            capacity = min(capacity, self.max_rows)
        old = self.n_kept
        for name in ("added_rows", "added_labels"):
            small = getattr(self, name)
            large = small.new_empty(capacity, *small.shape[1:])
            large[:old] = small[:old]
            setattr(self, name, large)

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

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and labels, a block at a time."""
        for rows, labels in (
            (self.source_rows, self.source_labels),
            (self.added_rows[: self.n_kept], self.added_labels[: self.n_kept]),
        ):
            for start in range(0, len(labels), BLOCK):
                yield rows[start : start + BLOCK], labels[start : start + BLOCK]

    def state_dict(self) -> dict[str, Any]:
        """The stream rows."""
        kept = slice(None, self.n_kept)
        return {
            "rows": self.added_rows[kept].clone(),
            "labels": self.added_labels[kept].clone(),
            "n_added": self.n_added,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the saved stream rows."""
        rows, labels = state["rows"], state["labels"]
        self.n_added = 0
        self.make_room(len(labels))
        self.added_rows[: len(labels)] = rows
        self.added_labels[: len(labels)] = labels
        self.n_added = state["n_added"]
