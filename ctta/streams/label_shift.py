"""Online label shift: one class after the other dominates the stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctta.streams.schedules import Index, Segment, one_draw_for_equals, repeated


def label_shift(
    labels: Sequence[Index],
    generator: np.random.Generator,
    shuffle: bool,
    *,
    imbalance_ratio: float,
    draws_per_class: int,
) -> list[Segment]:
    """One segment a domain, drawn with repetition; domains with the same labels get one list.

    Each of the K classes in turn has probability r / (r + K - 1) for ``draws_per_class`` draws, any
    other 1 / (r + K - 1); a drawn class is a random image of it. 500,000 stands for infinity.

    Source: Niu et al., SAR, ICLR 2023; mr-eggplant/SAR at 20f6e24,
    ``dataset/generate_shifted_sample_indices.py``. Its index lists are files; these are our own.

    Args:
        labels: of each domain's samples.
        generator: draws.
        shuffle: the classes take their turns in random order; else ascending.
        imbalance_ratio: r, at least 1 (no shift).
        draws_per_class: of each turn, at least 1.

    Raises:
        ValueError: a value out of range.
    """
    if not imbalance_ratio >= 1:
        raise ValueError(f"imbalance_ratio: expected at least 1, got {imbalance_ratio}")
    if draws_per_class < 1:
        raise ValueError(f"draws_per_class: expected at least 1, got {draws_per_class}")

    def draw(own: Index) -> Index:
        kinds, sizes = np.unique(own, return_counts=True)
        n = len(kinds)
        turns = generator.permutation(n) if shuffle else np.arange(n)
        turn = np.repeat(turns, draws_per_class)
        dominates = generator.random(len(turn)) < imbalance_ratio / (imbalance_ratio + n - 1)
        other = generator.integers(max(n - 1, 1), size=len(turn))
        drawn = np.where(dominates, turn, other + (other >= turn))
        nth = generator.integers(sizes[drawn])
        first = np.cumsum(sizes) - sizes
        by_class = np.argsort(own, kind="stable")
        order: Index = by_class[first[drawn] + nth]
        return order

    lists = one_draw_for_equals(labels, draw)
    return [(repeated(domain, len(index)), index) for domain, index in enumerate(lists)]
