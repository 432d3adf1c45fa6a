"""Label-correlated orders by Dirichlet draws, in the two forms of the field.

For one concentration they give different streams: the chunks of the NOTE form are balanced in
size, the slots of the RoTTA form are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctta.streams.schedules import (
    Index,
    Segment,
    classes_of,
    joined,
    mixed,
    one_after_the_other,
    one_draw_for_equals,
    reordered,
)

MOST_DRAWS = 200
MOST_SLOTS = 100


def correlated_note(
    labels: Sequence[Index],
    generator: np.random.Generator,
    shuffle: bool,
    *,
    concentration: float,
    smallest_chunk: int,
) -> list[Segment]:
    """Each domain in the NOTE form; domains with the same labels get one order.

    Args:
        labels: of each domain's samples.
        generator: draws the permutations and the chunks.
        shuffle: the samples of a class come in random order; else in file order.
        concentration: of the Dirichlet distribution, above 0; small: strong correlation.
        smallest_chunk: samples that every chunk must have, else all chunks are drawn anew.

    Raises:
        ValueError: a value out of range, or no such chunks after many draws.
    """
    check(concentration, smallest_chunk=smallest_chunk)
    segments = one_after_the_other(labels, generator, shuffle)
    orders = one_draw_for_equals(
        [classes_of(labels, s) for s in segments],
        lambda classes: in_chunks(classes, generator, concentration, smallest_chunk),
    )
    return [reordered(*pair) for pair in zip(segments, orders, strict=True)]


def mixed_correlated_note(
    labels: Sequence[Index],
    generator: np.random.Generator,
    shuffle: bool,
    *,
    concentration: float,
    smallest_chunk: int,
) -> list[Segment]:
    """The mixed segment in the NOTE form; see `correlated_note`."""
    check(concentration, smallest_chunk=smallest_chunk)
    (segment,) = mixed(labels, generator, shuffle)
    order = in_chunks(classes_of(labels, segment), generator, concentration, smallest_chunk)
    return [reordered(segment, order)]


def in_chunks(
    classes: Index, generator: np.random.Generator, concentration: float, smallest_chunk: int
) -> Index:
    """Positions 0 to N-1 in the NOTE form: K classes make K chunks.

    A class's samples, in the order that they have, are cut into K parts by a Dirichlet draw in
    which chunks with N/K samples or more get nothing. Chunk by chunk, the classes come in random
    order, each whole.

    Sources: TaesikGong/NOTE, as mariodoebler/test-time-adaptation at 8b2ed632 and
    LINs-lab/ttab at 19cb3ce have it. Theirs divide by zero where a draw's whole mass lies on full
    chunks; here the open ones then share equally.

    Args:
        classes: of each position, [N].
        generator: draws.
        concentration: of the Dirichlet distribution.
        smallest_chunk: samples that every chunk must have.

    Raises:
        ValueError: no draw gave each chunk that many.
    """
    kinds, number = np.unique(classes, return_inverse=True)
    n_chunks = len(kinds)
    full = len(classes) / n_chunks
    members = of_each(number, n_chunks)
    chunk = np.empty(len(classes), dtype=np.int64)
    for _ in range(MOST_DRAWS):
        sizes = np.zeros(n_chunks, dtype=np.int64)
        for own in members:
            share = generator.dirichlet(np.repeat(concentration, n_chunks))
            share[sizes >= full] = 0
            if not share.any():
                share = (sizes < full).astype(np.float64)
            chunk[own] = cut(share, len(own))
            sizes += np.bincount(chunk[own], minlength=n_chunks)
        if sizes.min() >= smallest_chunk:
            return class_blocks(chunk, number, n_chunks, generator)
    raise ValueError(
        f"{MOST_DRAWS} draws with concentration {concentration} left a chunk of {len(classes)} "
        f"samples in {n_chunks} below {smallest_chunk}; type a larger concentration or a smaller "
        "smallest_chunk"
    )


def correlated_rotta(
    labels: Sequence[Index],
    generator: np.random.Generator,
    shuffle: bool,
    *,
    concentration: float,
) -> list[Segment]:
    """The RoTTA form: all domains in one list, each in min(K, 100) slots.

    In a domain, each of the K classes is cut into the slots by a Dirichlet draw of its own; slot
    by slot, the classes come in random order. Draws are new for each domain. Nothing is balanced.

    Source: BIT-DA/RoTTA at 67e34c9, ``LabelDirichletDomainSequence``; hthieu166/petta at 5b4de7f.

    Args:
        labels: of each domain's samples.
        generator: draws.
        shuffle: the samples of a class come in random order; the original has file order.
        concentration: of the Dirichlet distribution (gamma there), above 0.

    Raises:
        ValueError: a value out of range.
    """
    check(concentration)
    kinds = np.unique(np.concatenate(labels))
    n_slots = min(len(kinds), MOST_SLOTS)
    parts = []
    for domain, index in one_after_the_other(labels, generator, shuffle):
        number = np.searchsorted(kinds, labels[domain[0]][index])
        slot = np.empty(len(index), dtype=np.int64)
        shares = generator.dirichlet(np.repeat(concentration, n_slots), size=len(kinds))
        for own, share in zip(of_each(number, len(kinds)), shares, strict=True):
            slot[own] = cut(share, len(own))
        order = class_blocks(slot, number, n_slots, generator)
        parts.append((domain, index[order]))
    return [joined(parts)]


def of_each(number: Index, n: int) -> list[Index]:
    """The positions that have each of the numbers 0 to n-1, ascending."""
    ends = np.cumsum(np.bincount(number, minlength=n))
    return np.split(np.argsort(number, kind="stable"), ends[:-1])


def cut(share: NDArray[np.float64], n: int) -> Index:
    """The part of each of n samples, cut where the cumulative share times n is rounded down."""
    total = np.cumsum(share)
    # Divided by the last sum, so that rounding gives nothing to a part without a share.
    cuts = np.floor(total[:-1] / total[-1] * n)
    return np.searchsorted(cuts, np.arange(n), side="right")


def class_blocks(part: Index, number: Index, n_parts: int, generator: np.random.Generator) -> Index:
    """Positions part by part, in each the classes in random order, in a class as they stand."""
    places = np.tile(np.arange(number.max() + 1), (n_parts, 1))
    place = generator.permuted(places, axis=1)
    return np.lexsort((place[part, number], part))


def check(concentration: float, smallest_chunk: int = 0) -> None:
    """Refuse values out of range."""
    if not concentration > 0:
        raise ValueError(f"concentration: expected above 0, got {concentration}")
    if smallest_chunk < 0:
        raise ValueError(f"smallest_chunk: expected at least 0, got {smallest_chunk}")
