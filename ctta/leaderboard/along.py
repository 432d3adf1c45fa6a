"""Error along the stream in few numbers: the stream is cut into equal parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctta.leaderboard.shipped import Arrays
from ctta.results.metrics import Floats

FEWEST, MOST = 60, 150  # parts


@dataclass(frozen=True)
class Segment:
    """Where a stretch of the stream begins, as a share of the whole, and the domain it is of."""

    start: float
    domain: str


def segments(shared: Arrays) -> list[Segment]:
    """The segments of a stream by what its runs share; one that mixes domains has no name."""
    number, domain = shared["segment"], shared["domain"]
    starts = np.append(0, np.flatnonzero(number[1:] != number[:-1]) + 1)
    ends = np.append(starts[1:], len(number))
    return [
        Segment(
            start=float(start / len(number)),
            domain=(
                str(shared["domain_names"][domain[start]])
                if (domain[start:end] == domain[start]).all()
                else ""
            ),
        )
        for start, end in zip(starts, ends, strict=True)
    ]


def n_parts(n_segments: int) -> int:
    """As many parts as the picture needs; segments of equal lengths are made of whole parts."""
    if n_segments > MOST:
        return MOST
    return n_segments * -(-FEWEST // n_segments)


def error_in_parts(wrong: NDArray[np.bool_], n: int) -> Floats:
    """Error in % in each of ``n`` equal parts of the stream, [n]; NaN in a part without samples.

    Args:
        wrong: which samples were predicted wrongly, [N].
        n: parts.
    """
    part = np.arange(len(wrong)) * n // len(wrong)
    seen = np.bincount(part, minlength=n)
    n_wrong = np.bincount(part, weights=wrong, minlength=n)
    return np.asarray(100 * n_wrong / np.where(seen > 0, seen, np.nan))
