"""Poisson counts by inversion of a word in integer tables: equal on every device.

One table row for each rate; entry k holds floor(2**32 * P(count <= k)), and the count for a word
is the number of entries that do not exceed it.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GUIDE_BITS: Final = 8
LARGEST_RATE: Final = 600.0


@dataclass(frozen=True, eq=False)
class PoissonTable:
    """`thresholds` int64 [R, K], ascending; `guide` int32 [R, 2**8]: where the search starts."""

    thresholds: NDArray[np.int64]
    guide: NDArray[np.int32]


@cache
def poisson_table(rates: tuple[float, ...]) -> PoissonTable:
    """Tables for these rates, each in [0, 600]. Raises ValueError for a rate outside of it."""
    rate = np.array(rates)
    if rate.min() < 0 or rate.max() > LARGEST_RATE:
        raise ValueError(f"Poisson rates must be in 0..{LARGEST_RATE:g}, got {min(rates)}..")
    width = int(rate.max() + 8 * math.sqrt(rate.max()) + 20)
    share = np.exp(-rate)
    cumulative = np.empty((len(rates), width))
    cumulative[:, 0] = share
    for k in range(1, width):
        share = share * rate / k
        cumulative[:, k] = cumulative[:, k - 1] + share
    thresholds = np.minimum(cumulative * 2.0**32, 2.0**32).astype(np.int64)
    # The tail beyond the table has a probability below 2**-32: the last entry closes it.
    thresholds[:, -1] = 1 << 32
    starts = np.arange(1 << GUIDE_BITS, dtype=np.int64) << (32 - GUIDE_BITS)
    guide = np.stack([np.searchsorted(row, starts, side="right") for row in thresholds])
    return PoissonTable(thresholds, guide.astype(np.int32))


def poisson_from_words(words: Tensor, which: Tensor, table: PoissonTable) -> Tensor:
    """Counts, int32, for int64 words and the table rows `which` of the same shape."""
    n_rows, width = table.thresholds.shape
    # One ascending sequence for all the rows, so that one search serves every element.
    offset = np.arange(n_rows, dtype=np.int64)[:, None] * (1 << 33)
    flat = torch.from_numpy((table.thresholds + offset).reshape(-1)).to(words.device)
    row = which.to(torch.int64)
    found = torch.searchsorted(flat, words + row * (1 << 33), right=True)
    counts: Tensor = found - row * width
    return counts.to(torch.int32)
