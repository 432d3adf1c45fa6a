"""The quantile of all squared gradients on the CPU, without a sort.

In one read between two values of a sample; else in two, by a histogram of the leading bits and a
selection among the elements of the bins.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctta.counter.compiled import for_cpu
from ctta.kernels.cpu_table import Array, Table, at
from ctta.kernels.draws import BLOCK
from ctta.kernels.reference import Gradients, Tensors

BINS = 1 << 11
SAMPLED = 64  # every such element is looked at to bracket a quantile
BRACKETED = SAMPLED << 10  # elements, from which such a sample says enough
GROUP = 64  # elements between two looks at whether one is inside the bracket
# The integer of a type's bits, and how far up the leading 11 below the sign are.
KEYS: dict[torch.dtype, tuple[Array, Any]] = {
    torch.float32: (np.empty(0, np.uint32), np.uint32(20)),
    torch.float64: (np.empty(0, np.uint64), np.uint64(52)),
}


@for_cpu
def _ranked(rows, kind, integer, shift, n_zeros, low, high):  # type: ignore[no-untyped-def]
    squares = np.empty(BLOCK, kind.dtype)
    bits = squares.view(integer.dtype)
    counts = np.zeros(2 * BINS, np.int64)  # a NaN may carry a sign
    counts[0] = n_zeros
    for k in range(rows.shape[1]):
        gradient = at(rows, 0, k, kind)
        for first in range(0, len(gradient), len(squares)):
            n = min(len(squares), len(gradient) - first)
            for i in range(n):
                squares[i] = gradient[first + i] * gradient[first + i]
            for i in range(n):
                counts[bits[i] >> shift] += 1
    upto = counts.cumsum()
    first_bin, last_bin = np.searchsorted(upto, low, "right"), np.searchsorted(upto, high, "right")
    before = upto[first_bin] - counts[first_bin]
    out, n = np.zeros(upto[last_bin] - before, kind.dtype), n_zeros if first_bin == 0 else 0
    for k in range(rows.shape[1]):
        gradient = at(rows, 0, k, kind)
        for first in range(0, len(gradient), len(squares)):
            stop = min(len(squares), len(gradient) - first)
            for i in range(stop):
                squares[i] = gradient[first + i] * gradient[first + i]
            for i in range(stop):
                if first_bin <= np.int64(bits[i] >> shift) <= last_bin:
                    out[n] = squares[i]
                    n += 1
    return out, before


@for_cpu
def _sample(rows, kind):  # type: ignore[no-untyped-def]
    sizes = rows[-1].view(np.int64)
    out = np.empty(((sizes + (SAMPLED - 1)) // SAMPLED).sum(), kind.dtype)
    n = 0
    for k in range(rows.shape[1]):
        for square in at(rows, 0, k, kind)[::SAMPLED]:
            out[n] = square * square
            n += 1
    return out


@for_cpu
def _inside(rows, kind, low, high, out):  # type: ignore[no-untyped-def]
    yes, no = np.int32(1), np.int32(0)
    n_below, n_inside = np.int64(0), np.int64(0)
    for k in range(rows.shape[1]):
        gradient = at(rows, 0, k, kind)
        for first in range(0, len(gradient), GROUP):
            group = gradient[first : first + GROUP]  # its own indices need no check of their sign
            below, up_to = no, no
            for i in range(len(group)):
                square = group[i] * group[i]
                below += yes if square < low else no
                up_to += yes if square <= high else no
            inside = up_to - below
            if inside and n_inside + inside <= len(out):
                place, at_place = out[n_inside : n_inside + inside], 0
                for i in range(len(group)):
                    square = group[i] * group[i]
                    if low <= square <= high:
                        place[at_place] = square
                        at_place += 1
            n_below += below
            n_inside += inside
    return n_below, n_inside


@for_cpu
def _between(pair, share):  # type: ignore[no-untyped-def]
    away = pair[1] - pair[0]
    pair[0] += pair.dtype.type(share) * away


def squared_quantile(gradients: Gradients, like: Tensors, level: float) -> Tensor:
    present = [g for g in gradients if g is not None]
    if not present:
        return like[0].new_zeros(())
    n_zeros = sum([p.numel() for g, p in zip(gradients, like, strict=True) if g is None])
    table = Table(present)
    n_all = n_zeros + int(table.rows[-1].sum())
    position = level * (n_all - 1)
    rank = math.floor(position)
    ranks = (rank, min(rank + 1, n_all - 1))
    pair = None if n_zeros or n_all < BRACKETED else by_bracket(table, n_all, *ranks)
    if pair is None:
        pair = by_histogram(table, n_zeros, *ranks)
    if ranks[0] != ranks[1]:
        _between(pair, position - rank)
    return torch.from_numpy(pair[0, ...])


def by_bracket(table: Table, n_all: int, low: int, high: int) -> Array | None:
    """The squares of two ranks in one read, between two values of a sample; None if they are not
    there, or too much is.
    """
    sample = _sample(*table)
    share = low / n_all
    margin = 2 + 5 * math.sqrt(share * (1 - share) * len(sample))  # deviations of the rank
    around = [share * len(sample) - margin, share * len(sample) + margin]
    if around[0] < 0 or around[1] > len(sample) - 1:
        return None
    places = [math.floor(around[0]), math.ceil(around[1])]
    sample.partition(places)
    least, most = sample[places]
    found = np.empty(n_all // 16, sample.dtype)
    n_below, n_inside = _inside(*table, least, most, found)
    if not n_below <= low <= high < n_below + n_inside <= n_below + len(found):
        return None
    wanted = [low - n_below, high - n_below]
    inside = found[:n_inside]
    inside.partition(wanted)
    return inside[wanted]


def by_histogram(table: Table, n_zeros: int, low: int, high: int) -> Array:
    """The squares of two ranks in two reads, whatever their distribution."""
    found, before = _ranked(*table, *KEYS[table.groups[0][0].dtype], n_zeros, low, high)
    wanted = [low - before, high - before]
    found.partition(wanted)
    pair: Array = found[wanted]
    return pair
