"""An ordered, hashed sequence of labelled batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.streams.identity import protocol_hash, stream_hash
from ctta.streams.orders import ordered
from ctta.streams.schedules import Segment, in_rounds, joined, rising_and_falling
from ctta.streams.settings import SETTINGS, Parameters


@dataclass(frozen=True)
class Domain:
    """One kind of image in a stream.

    Attributes:
        corruption: its name.
        severity: 1 to 5; 0 where the data set has none.
    """

    corruption: str
    severity: int

    def __str__(self) -> str:
        return f"{self.corruption}-{self.severity}" if self.severity else self.corruption


@dataclass(frozen=True)
class Batch:
    """What the loop takes from a stream; a method sees ``x`` and nothing else.

    Attributes:
        x: images, float32 [B,C,H,W] in [0,1].
        y: labels, int64 [B].
        domain: positions in the stream's ``domains``, int64 [B].
        ids: sample numbers in the data set, int64 [B].
        segment: number of the segment.
        fresh_start: the method is reset before this batch.
    """

    x: Tensor
    y: Tensor
    domain: Tensor
    ids: Tensor
    segment: int
    fresh_start: bool


class Stream(Protocol):
    """What the loop needs of a stream."""

    name: str
    version: int
    domains: Sequence[Domain]
    resets: bool

    @property
    def protocol_sha256(self) -> str:
        """Hash of what defines the stream and has no seed."""

    @property
    def stream_sha256(self) -> str:
        """Hash of the protocol and the realised sequence."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from number ``start`` on."""


class CorruptedData(Protocol):
    """What a stream needs of a data set."""

    name: str
    version: int
    severity: int
    corruptions: Sequence[str]

    @property
    def identity(self) -> dict[str, Any]:
        """What makes the data set this one, as JSON-able values."""

    def labels(self, corruption: str, severity: int) -> NDArray[np.int64]:
        """Class numbers [N]."""

    def images(self, corruption: str, severity: int, indices: NDArray[np.int64]) -> Tensor:
        """float32 [n,C,H,W] in [0,1]."""


class CorruptionStream:
    """The corruptions of a data set in one of the settings of the field.

    Args:
        data: see `CorruptedData`.
        setting: name in ``ctta.streams.settings.SETTINGS``.
        batch_size: 1 or more; the last batch of a segment may be smaller.
        shuffle: false: file order.
        seed: of the order; nothing else.
        starts_high: settings whose severity rises and falls only, see `rising_and_falling`.
        order: a published order of the corruptions by name, see `ctta.streams.orders`; None: the
            data set's. Streams of all orders under one name have one protocol.
        order_number: which of the orders under that name.
        rounds: how often all of it comes; a new round is no reset.
        repermuted: every round is drawn anew; else the first one is repeated.
        parameters: of the setting's schedule, by name.

    Raises:
        ValueError: a value out of range.
    """

    version = 1

    def __init__(
        self,
        data: CorruptedData,
        *,
        setting: str = "continual",
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        starts_high: bool = False,
        order: str | None = None,
        order_number: int = 0,
        rounds: int = 1,
        repermuted: bool = False,
        parameters: Parameters | None = None,
    ) -> None:
        if not hasattr(data, "corruptions"):
            raise ValueError(f"data: {data.name} has one order of its own; type stream=sequential")
        if setting not in SETTINGS:
            raise ValueError(f"setting: expected one of {', '.join(SETTINGS)}, got {setting!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed: expected at least 0, got {seed}")
        if rounds < 1:
            raise ValueError(f"rounds: expected at least 1, got {rounds}")
        chosen = SETTINGS[setting]
        if starts_high and not chosen.gradual:
            raise ValueError(f"starts_high: {setting} has one severity; type stream=gradual")
        if order is None and order_number:
            raise ValueError(
                f"order_number: got {order_number} without an order; type stream=cotta_orders"
            )
        arguments = chosen.bound(parameters or {}, batch_size)
        self.data, self.batch_size = data, batch_size
        self.name = f"{data.name}/{setting}"
        if order is not None:
            self.name += f", order {order} {order_number}"
        if rounds > 1:
            self.name += f", {rounds} rounds"
        self.resets = chosen.resets
        corruptions = (
            data.corruptions if order is None else ordered(data.corruptions, order, order_number)
        )
        one_round = [
            Domain(corruption, severity)
            for position, corruption in enumerate(corruptions)
            for severity in (
                rising_and_falling(position, starts_high=starts_high)
                if chosen.gradual
                else [data.severity]
            )
        ]
        self.domains = one_round * rounds
        self.order = order
        labels_of = {d: data.labels(d.corruption, d.severity) for d in dict.fromkeys(one_round)}
        labels = [labels_of[d] for d in one_round]
        generator = np.random.Generator(np.random.PCG64(seed))
        self.segments: list[Segment] = in_rounds(
            lambda labels: chosen.schedule(labels, generator, shuffle, **arguments),
            labels,
            rounds=rounds,
            repermuted=repermuted,
        )
        if chosen.one_list:
            self.segments = [joined(self.segments)]
        names = [str(domain) for domain in one_round]
        sizes = [len(own) for own in labels]
        self.protocol: dict[str, Any] = {
            "stream_version": self.version,
            "data": data.identity,
            "domains": names,
            "images_per_domain": sizes,
            "setting": setting,
            "shuffle": shuffle,
            "batch_size": batch_size,
        }
        # What most streams do not have is not in their protocol, so that their hashes stay.
        if order is not None:
            by_name = dict(sorted(zip(names, sizes, strict=True)))
            self.protocol |= {"domains": list(by_name), "images_per_domain": by_name}
            self.protocol |= {"order": order, "starts_high": starts_high}
        if rounds > 1:
            self.protocol |= {"rounds": rounds, "repermuted": repermuted}
        if parameters:
            self.protocol["parameters"] = dict(parameters)

    @cached_property
    def protocol_sha256(self) -> str:
        """Hash of what defines the stream and has no seed."""
        return protocol_hash(self.protocol)

    @cached_property
    def stream_sha256(self) -> str:
        """Hash of the protocol and the realised sequence of samples."""
        names = [] if self.order is None else [str(domain) for domain in self.domains]
        return stream_hash(self.protocol_sha256, self.segments, names)

    def __len__(self) -> int:
        return sum(-(-len(index) // self.batch_size) for _, index in self.segments)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from number ``start`` on."""
        skip = start
        for segment, (domain, index) in enumerate(self.segments):
            for first in range(skip * self.batch_size, len(index), self.batch_size):
                part = slice(first, first + self.batch_size)
                yield self.batch(segment, domain[part], index[part], first == 0)
            skip = max(skip - -(-len(index) // self.batch_size), 0)

    def firsts(self) -> Iterator[Batch]:
        """The first batch of each segment."""
        for segment, (domain, index) in enumerate(self.segments):
            part = slice(0, self.batch_size)
            yield self.batch(segment, domain[part], index[part], True)

    def batch(
        self, segment: int, domain: NDArray[np.int64], index: NDArray[np.int64], first: bool
    ) -> Batch:
        """Images and labels of the samples (domain, index), in that order."""
        parts, labels = [], np.empty(len(index), dtype=np.int64)
        where = []
        for number in np.unique(domain):
            (own,) = np.nonzero(domain == number)
            kind = self.domains[number]
            parts.append(self.data.images(kind.corruption, kind.severity, index[own]))
            labels[own] = self.data.labels(kind.corruption, kind.severity)[index[own]]
            where.append(own)
        back = np.argsort(np.concatenate(where), kind="stable")
        return Batch(
            x=torch.cat(parts)[torch.from_numpy(back)],
            y=torch.from_numpy(labels),
            domain=torch.from_numpy(domain.astype(np.int64)),
            ids=torch.from_numpy(index.astype(np.int64)),
            segment=segment,
            fresh_start=first and (self.resets or segment == 0),
        )
