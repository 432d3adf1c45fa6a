"""Orders of samples, as pure numpy functions.

A schedule returns *segments*: pairs (domain numbers, sample indices) of int64 arrays of one
length. A batch never crosses the border of a segment. Every schedule is called as
``schedule(labels, generator, shuffle, **parameters)`` with the labels of each domain's samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
Segment = tuple[Index, Index]
Schedule = Callable[..., list[Segment]]


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
        segments.append((repeated(domain, n), orders[n]))
    return segments


def mixed(labels: Sequence[Index], generator: np.random.Generator, shuffle: bool) -> list[Segment]:
    """All samples of all domains in one segment, shuffled together."""
    domain, index = joined(one_after_the_other(labels, generator, False))
    if not shuffle:
        return [(domain, index)]
    return [reordered((domain, index), generator.permutation(len(index)))]


def correlated(
    labels: Sequence[Index], generator: np.random.Generator, shuffle: bool
) -> list[Segment]:
    """Within each domain sorted by class, stably after the shuffle: classes ascend."""
    return [by_class(labels, s) for s in one_after_the_other(labels, generator, shuffle)]


def mixed_correlated(
    labels: Sequence[Index], generator: np.random.Generator, shuffle: bool
) -> list[Segment]:
    """The mixed segment sorted by class, stably: within a class the domains alternate."""
    return [by_class(labels, s) for s in mixed(labels, generator, shuffle)]


def continually_changing(
    labels: Sequence[Index], generator: np.random.Generator, shuffle: bool, *, batch_size: int
) -> list[Segment]:
    """CDC: runs of batches of domains that are drawn, until all are used up; one segment.

    A domain is drawn uniformly among those that have samples left, then how many batches of it
    come: uniformly from 1 to floor(n / batch_size) + 1 less those that came. Every domain has a
    permutation of its own. Batches are cut from the whole list, so that they cross domains after a
    domain's short last batch.

    Source: LTS5/ReservoirTTA at f876640, setting ``continual_cdc``.
    """
    sizes = [len(own) for own in labels]
    orders = [generator.permutation(n) if shuffle else np.arange(n) for n in sizes]
    given = np.zeros(len(sizes), dtype=np.int64)
    runs = []
    while (left := np.flatnonzero(given * batch_size < sizes)).size:
        domain = int(generator.choice(left))
        most = sizes[domain] // batch_size + 1 - given[domain]
        n_batches = generator.integers(1, most, endpoint=True)
        first = given[domain] * batch_size
        run = orders[domain][first : first + n_batches * batch_size]
        runs.append((repeated(domain, len(run)), run))
        given[domain] += n_batches
    return [joined(runs)]


def in_rounds(
    schedule: Schedule, labels: Sequence[Index], *, rounds: int, repermuted: bool
) -> list[Segment]:
    """A schedule over and over; round r has the domain numbers r D to r D + D - 1.

    Args:
        schedule: takes the labels and nothing else.
        labels: of the D domains of one round.
        rounds: 1 or more.
        repermuted: every round is drawn anew; else each is the first one again.
    """
    segments: list[Segment] = []
    for number in range(rounds):
        if number == 0 or repermuted:
            one = schedule(labels)
        segments += [(shifted(d, number * len(labels)), i) for d, i in one]
    return segments


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


def repeated(domain: int, n: int) -> Index:
    """``n`` times the same number, in the memory of one."""
    return np.broadcast_to(np.int64(domain), n)


def is_repeated(domain: Index) -> bool:
    """Whether it came from `repeated`."""
    return len(domain) > 0 and domain.strides == (0,)


def shifted(domain: Index, by: int) -> Index:
    """``domain + by``, still in the memory of one number where it was."""
    return repeated(int(domain[0]) + by, len(domain)) if is_repeated(domain) else domain + by


def reordered(segment: Segment, order: Index) -> Segment:
    """The samples of a segment in another order."""
    domain, index = segment
    return domain if is_repeated(domain) else domain[order], index[order]


def joined(segments: Sequence[Segment]) -> Segment:
    """Several segments as one."""
    return np.concatenate([d for d, _ in segments]), np.concatenate([i for _, i in segments])


def classes_of(labels: Sequence[Index], segment: Segment) -> Index:
    """The class of each sample of a segment."""
    domain, index = segment
    classes = np.empty(len(index), dtype=np.int64)
    for number in np.unique(domain):
        own = domain == number
        classes[own] = labels[number][index[own]]
    return classes


def by_class(labels: Sequence[Index], segment: Segment) -> Segment:
    """A segment sorted by class, stably."""
    return reordered(segment, np.argsort(classes_of(labels, segment), kind="stable"))


def one_draw_for_equals(
    classes: Sequence[Index], draw: Callable[[Index], Index]
) -> Iterator[Index]:
    """``draw`` of each array, drawn once for arrays that are equal."""
    drawn: dict[bytes, Index] = {}
    for own in classes:
        key = own.tobytes()
        if key not in drawn:
            drawn[key] = draw(own)
        yield drawn[key]
