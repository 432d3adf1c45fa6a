"""A stream in the data's own order, for data that nobody holds as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from ctta.data.sequential import SequentialData
from ctta.streams.identity import protocol_hash
from ctta.streams.stream import Batch, Domain


class SequentialStream:
    """One pass from the front to the back, one domain, no reset.

    Args:
        data: see `SequentialData`.
        batch_size: 1 or more; the last batch may be smaller.

    Raises:
        ValueError: a value out of range, or a data set with random access.
    """

    version = 1
    resets = False

    def __init__(self, data: SequentialData, *, batch_size: int = 64) -> None:
        if not isinstance(data, SequentialData):
            raise ValueError(
                f"data: {data.name} has domains with random access; type stream=continual"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.data, self.batch_size = data, batch_size
        self.name = f"{data.name}/sequential"
        self.domains = [Domain(data.name, 0)]

    @cached_property
    def protocol_sha256(self) -> str:
        """Hash of what defines the stream."""
        return protocol_hash(
            {
                "stream_version": self.version,
                "data": self.data.identity,
                "setting": "sequential",
                "batch_size": self.batch_size,
            }
        )

    @cached_property
    def stream_sha256(self) -> str:
        """Hash of the protocol and the sequence: the numbers from 0 on, as one segment."""
        text = f"{self.protocol_sha256} segment {self.data.n_images}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return -(-self.data.n_images // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from number ``start`` on."""
        first = start * self.batch_size
        for pixels, labels in self.data.blocks(first, self.batch_size):
            yield self.batch(pixels, labels, first)
            first += len(labels)

    def batch(self, pixels: Tensor, labels: Tensor, first: int) -> Batch:
        """Images and labels from number ``first`` on."""
        return Batch(
            x=pixels.float() / 255,
            y=labels,
            domain=torch.zeros_like(labels),
            ids=torch.arange(first, first + len(labels)),
            segment=0,
            fresh_start=first == 0,
        )

    def firsts(self) -> Iterator[Batch]:
        """The first batch."""
        batches = self.batches()
        yield next(batches)
