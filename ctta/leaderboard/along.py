"""Error along the stream in few numbers: the stream is cut into equal parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctta.online.trace import Trace
from ctta.results.metrics import Floats, wrong

FEWEST, MOST = 60, 150  # parts


@dataclass(frozen=True)
class Segment:
    """Where a stretch of the stream begins, as a share of the whole, and the domain it is of."""

    start: float
    domain: str


def segments(trace: Trace) -> list[Segment]:
    """The stream's segments; one that mixes domains has no name."""
    number, domain = trace.samples["segment"], trace.samples["domain"]
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    ends = np.append(starts[1:], len(trace))
    return [
        Segment(
            start=float(start / len(trace)),
            domain=(
                trace.domain_names[domain[start]]
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


def error_in_parts(trace: Trace, n: int) -> Floats:
    """Error in % in each of ``n`` equal parts of the stream, [n]; NaN in a part without samples."""
    part = np.arange(len(trace)) * n // len(trace)
    seen = np.bincount(part, minlength=n)
    n_wrong = np.bincount(part, weights=wrong(trace), minlength=n)
    return np.asarray(100 * n_wrong / np.where(seen > 0, seen, np.nan))
