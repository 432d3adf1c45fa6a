"""Orders of samples, as pure numpy functions.

A schedule returns *segments*: pairs (domain numbers, sample indices) of int64 arrays of one
length. A batch never crosses the border of a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
Segment = tuple[Index, Index]
Schedule = Callable[[Sequence[Index], np.random.Generator, bool], list[Segment]]


def one_after_the_other(
    labels: Sequence[Index], generator: np.random.Generator, shuffle: bool
) -> list[Segment]:
    """Continual: one segment a domain. All domains of one length get one permutation.

    Args:
        labels: of each domain's samples.
        generator: draws one permutation for each length.
        shuffle: false: file order, nothing is drawn.
    """
    orders: dict[int, Index] = {}
    segments = []
    for domain, own in enumerate(labels):
        n = len(own)
        if n not in orders:
            orders[n] = generator.permutation(n) if shuffle else np.arange(n)
        segments.append((np.full(n, domain), orders[n]))
    return segments


def mixed(labels: Sequence[Index], generator: np.random.Generator, shuffle: bool) -> list[Segment]:
    """All samples of all domains in one segment, shuffled together."""
    parts = one_after_the_other(labels, generator, False)
    domain = np.concatenate([d for d, _ in parts])
    index = np.concatenate([i for _, i in parts])
    order = generator.permutation(len(index)) if shuffle else np.arange(len(index))
    return [(domain[order], index[order])]


def correlated(
    labels: Sequence[Index], generator: np.random.Generator, shuffle: bool
) -> list[Segment]:
    """Within each domain sorted by class, stably after the shuffle: classes ascend."""
    segments = one_after_the_other(labels, generator, shuffle)
    return [
        (domain, index[np.argsort(labels[domain[0]][index], kind="stable")])
        for domain, index in segments
    ]


def rising_and_falling(corruption: int, *, starts_high: bool) -> list[int]:
    """Severities of one corruption in the gradual setting.

    Args:
        corruption: its position in the stream.
        starts_high: the first corruption runs 5,4,3,2,1 only, a jump from the source
            (qinenergy/cotta at c212a204); else all run 1..5..1 (mariodoebler/test-time-adaptation
            at 8b2ed632).
    """
    falling = [5, 4, 3, 2, 1]
    if starts_high and corruption == 0:
        return falling
    return [1, 2, 3, 4, *falling]


SCHEDULES: dict[str, Schedule] = {
    "continual": one_after_the_other,
    "reset_each": one_after_the_other,
    "gradual": one_after_the_other,
    "mixed": mixed,
    "correlated": correlated,
}
