"""The kernels on the CPU: one pass over memory each, compiled by Numba, on one thread.

Bit-equal to the reference, but for the order of summation of a prior's value. Restoration touches
only the chosen elements; the quantile is found in two reads, by a histogram of the leading bits and
a selection among the elements of the bin.

All tensors of an update go into one compiled call, as a table of their addresses: a call a tensor
costs more than what it does to a small one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from ctta.counter.compiled import for_cpu, philox
from ctta.kernels.draws import BLOCK, GUIDE_BITS, Draw, gap_table
from ctta.kernels.reference import Gradients, Tensors

Array = NDArray[Any]
LANES = 16  # Philox counters at a time
BINS = 1 << 11
SAMPLED = 64  # every such element is looked at to bracket a quantile
GROUP = 64  # elements between two looks at whether one is inside the bracket
# Types as compiled functions are told of them: by an empty array.
KINDS: dict[torch.dtype, Array] = {
    torch.float32: np.empty(0, np.float32),
    torch.float64: np.empty(0, np.float64),
}
# The integer of a type's bits, and how far up the leading 11 below the sign are.
KEYS: dict[torch.dtype, tuple[Array, Any]] = {
    torch.float32: (np.empty(0, np.uint32), np.uint32(20)),
    torch.float64: (np.empty(0, np.uint64), np.uint64(52)),
}
MASKS = np.empty(0, np.bool_)


class Table:
    """Where tensors lie: what every compiled function takes first.

    Args:
        groups: sequences of T tensors without gaps; the first one's type is that of all, or masks.

    Attributes:
        addresses: uint64 [groups, T].
        sizes: elements of each tensor, int64 [T].
        kind: an empty array of the tensors' type.

    Raises:
        ValueError: tensors of one place that differ in size.
    """

    def __init__(self, *groups: Tensors) -> None:
        sizes = [[t.numel() for t in group] for group in groups]
        if sizes.count(sizes[0]) != len(sizes):
            raise ValueError(
                f"expected tensors of equal sizes in each sequence, got {sizes}: pass the "
                "parameters of equal models"
            )
        self.groups = groups  # held: an address does not keep its tensor alive
        self.addresses = np.array([[t.data_ptr() for t in g] for g in groups], np.uint64)
        self.sizes = np.array(sizes[0], np.int64)
        self.kind = KINDS[groups[0][0].dtype]

    def __iter__(self) -> Iterator[Array]:
        return iter((self.addresses, self.sizes, self.kind))


def filled(gradients: Gradients, like: Tensors) -> Tensors:
    """Gradients, zeros where there is none."""
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, like, strict=True)]


@intrinsic
def pointer(_typing, _address):  # type: ignore[no-untyped-def]
    """An address as a pointer."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.uint64), generate


@for_cpu
def at(address, size, kind):  # type: ignore[no-untyped-def]
    """The memory of a tensor as a flat array of the type of ``kind``."""
    return carray(pointer(address), (size,), kind.dtype)


@for_cpu
def two(decay, kind):  # type: ignore[no-untyped-def]
    """A decay and its complement in the type of ``kind``."""
    return kind.dtype.type(decay), kind.dtype.type(1 - decay)


@for_cpu
def _ema(addresses, sizes, kind, decays):  # type: ignore[no-untyped-def]
    for k in range(len(sizes)):
        teacher = at(addresses[0, k], sizes[k], kind)
        student = at(addresses[1, k], sizes[k], kind)
        decay, rest = two(decays[k], kind)
        for i in range(len(teacher)):
            teacher[i] = teacher[i] * decay + student[i] * rest


def ema_(teacher: Tensors, student: Tensors, decays: Sequence[float]) -> None:
    if len(decays) != len(teacher):
        raise ValueError(f"expected a decay for each of {len(teacher)} tensors, got {len(decays)}")
    _ema(*Table(teacher, student), np.array(decays, np.float64))


@for_cpu
def _sparse(parameter, start, first, thresholds, guide, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    c0, c1 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    c2, c3 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    n = len(parameter)
    for block in range(first // BLOCK, (first + n - 1) // BLOCK + 1):
        origin = block * BLOCK - first  # of the block, in the tensor
        stop = min(BLOCK, n - origin)
        position, word = np.int64(-1), 0
        while True:
            lane = (word >> 2) % LANES
            if word % (4 * LANES) == 0:
                for i in range(LANES):
                    c0[i], c1[i], c2[i], c3[i] = block, (word >> 2) + i, step, stream
                philox(c0, c1, c2, c3, key0, key1)
            part = word & 3
            if part == 0:
                w = c0[lane]
            elif part == 1:
                w = c1[lane]
            elif part == 2:
                w = c2[lane]
            else:
                w = c3[lane]
            gap = np.int64(guide[w >> (32 - GUIDE_BITS)])
            while gap < BLOCK and thresholds[gap] <= w:
                gap += 1
            position += gap + 1
            if position >= stop:
                break
            i = origin + position
            if i >= 0:
                parameter[i] = start[i]
            word += 1


@for_cpu
def _all_sparse(addresses, sizes, kind, thresholds, guide, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    first = 0
    for k in range(len(sizes)):
        parameter = at(addresses[0, k], sizes[k], kind)
        start = at(addresses[1, k], sizes[k], kind)
        _sparse(parameter, start, first, thresholds, guide, step, stream, key0, key1)
        first += sizes[k]


@for_cpu
def _dense(parameter, start, first, below, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    c0, c1 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    c2, c3 = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    n = len(parameter)
    for block in range(first // BLOCK, (first + n - 1) // BLOCK + 1):
        origin = block * BLOCK - first
        for quad in range(0, BLOCK // 4, LANES):
            for i in range(LANES):
                c0[i], c1[i], c2[i], c3[i] = block, quad + i, step, stream
            philox(c0, c1, c2, c3, key0, key1)
            for lane in range(LANES):
                i = origin + 4 * (quad + lane)
                if 0 <= i < n and c0[lane] < below:
                    parameter[i] = start[i]
                if 0 <= i + 1 < n and c1[lane] < below:
                    parameter[i + 1] = start[i + 1]
                if 0 <= i + 2 < n and c2[lane] < below:
                    parameter[i + 2] = start[i + 2]
                if 0 <= i + 3 < n and c3[lane] < below:
                    parameter[i + 3] = start[i + 3]


@for_cpu
def _all_dense(addresses, sizes, kind, below, step, stream, key0, key1):  # type: ignore[no-untyped-def]
    first = 0
    for k in range(len(sizes)):
        parameter = at(addresses[0, k], sizes[k], kind)
        start = at(addresses[1, k], sizes[k], kind)
        _dense(parameter, start, first, below, step, stream, key0, key1)
        first += sizes[k]


def restore_(parameters: Tensors, start: Tensors, draw: Draw) -> None:
    if not draw.prob:
        return
    table = Table(parameters, start)
    if draw.dense:
        _all_dense(*table, draw.below, draw.step, draw.stream, *draw.key)
    else:
        gaps = gap_table(draw.prob)
        _all_sparse(*table, gaps.thresholds, gaps.guide, draw.step, draw.stream, *draw.key)


def ema_restore_(
    teacher: Tensors, student: Tensors, start: Tensors, decays: Sequence[float], draw: Draw
) -> None:
    ema_(teacher, student, decays)
    restore_(student, start, draw)


@for_cpu
def _restore_where(addresses, sizes, kind, truth):  # type: ignore[no-untyped-def]
    for k in range(len(sizes)):
        parameter = at(addresses[0, k], sizes[k], kind)
        start = at(addresses[1, k], sizes[k], kind)
        mask = at(addresses[2, k], sizes[k], truth)
        for i in range(len(parameter)):
            parameter[i] = start[i] if mask[i] else parameter[i]


def restore_where_(parameters: Tensors, start: Tensors, masks: Tensors) -> None:
    _restore_where(*Table(parameters, start, masks), MASKS)


@for_cpu
def _ranked(addresses, sizes, kind, integer, shift, n_zeros, low, high):  # type: ignore[no-untyped-def]
    squares = np.empty(BLOCK, kind.dtype)
    bits = squares.view(integer.dtype)
    counts = np.zeros(2 * BINS, np.int64)  # a NaN may carry a sign
    counts[0] = n_zeros
    for k in range(len(sizes)):
        gradient = at(addresses[0, k], sizes[k], kind)
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
    for k in range(len(sizes)):
        gradient = at(addresses[0, k], sizes[k], kind)
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
def _sample(addresses, sizes, kind):  # type: ignore[no-untyped-def]
    out = np.empty(((sizes + (SAMPLED - 1)) // SAMPLED).sum(), kind.dtype)
    n = 0
    for k in range(len(sizes)):
        for square in at(addresses[0, k], sizes[k], kind)[::SAMPLED]:
            out[n] = square * square
            n += 1
    return out


@for_cpu
def _inside(addresses, sizes, kind, low, high, out):  # type: ignore[no-untyped-def]
    yes, no = np.int32(1), np.int32(0)
    n_below, n_inside = np.int64(0), np.int64(0)
    for k in range(len(sizes)):
        gradient = at(addresses[0, k], sizes[k], kind)
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


def squared_quantile(gradients: Gradients, like: Tensors, level: float) -> Tensor:
    present = [g for g in gradients if g is not None]
    if not present:
        return like[0].new_zeros(())
    n_zeros = sum(p.numel() for g, p in zip(gradients, like, strict=True) if g is None)
    n_all = n_zeros + sum(g.numel() for g in present)
    position = level * (n_all - 1)
    rank = math.floor(position)
    ranks, table = (rank, min(rank + 1, n_all - 1)), Table(present)
    pair = None if n_zeros else by_bracket(table, n_all, *ranks)
    if pair is None:
        pair = by_histogram(table, n_zeros, *ranks)
    first, second = torch.from_numpy(pair).unbind()
    return first if ranks[0] == ranks[1] else first + (position - rank) * (second - first)


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


@for_cpu
def _fisher_restore(addresses, sizes, kind, threshold, decay):  # type: ignore[no-untyped-def]
    decay, rest = two(decay, kind)
    for k in range(len(sizes)):
        teacher = at(addresses[0, k], sizes[k], kind)
        student = at(addresses[1, k], sizes[k], kind)
        start = at(addresses[2, k], sizes[k], kind)
        gradient = at(addresses[3, k], sizes[k], kind)
        for i in range(len(teacher)):
            below = gradient[i] * gradient[i] < threshold
            moved = teacher[i] * decay + student[i] * rest
            student[i] = start[i] if below else student[i]
            teacher[i] = moved


def fisher_restore_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    table = Table(teacher, student, start, filled(gradients, student))
    _fisher_restore(*table, threshold.numpy()[()], decay)


@for_cpu
def _fisher_restore_twice(addresses, sizes, kind, threshold, decay):  # type: ignore[no-untyped-def]
    decay, rest = two(decay, kind)
    for k in range(len(sizes)):
        teacher = at(addresses[0, k], sizes[k], kind)
        student = at(addresses[1, k], sizes[k], kind)
        start = at(addresses[2, k], sizes[k], kind)
        gradient = at(addresses[3, k], sizes[k], kind)
        for i in range(len(teacher)):
            below = gradient[i] * gradient[i] < threshold
            moved = teacher[i] * decay + student[i] * rest
            student[i] = start[i] if below else student[i]
            moved = moved * decay + student[i] * rest
            teacher[i] = student[i] if below else moved


def fisher_restore_twice_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    table = Table(teacher, student, start, filled(gradients, student))
    _fisher_restore_twice(*table, threshold.numpy()[()], decay)


@for_cpu
def _masked_ema(addresses, sizes, kind, threshold, decay):  # type: ignore[no-untyped-def]
    decay, rest = two(decay, kind)
    for k in range(len(sizes)):
        teacher = at(addresses[0, k], sizes[k], kind)
        student = at(addresses[1, k], sizes[k], kind)
        gradient = at(addresses[2, k], sizes[k], kind)
        for i in range(len(teacher)):
            below = gradient[i] * gradient[i] < threshold
            teacher[i] = teacher[i] * decay + student[i] * rest if below else teacher[i]


def masked_ema_(
    teacher: Tensors, student: Tensors, gradients: Gradients, threshold: Tensor, decay: float
) -> None:
    table = Table(teacher, student, filled(gradients, student))
    _masked_ema(*table, threshold.numpy()[()], decay)


@for_cpu
def _quadratic_prior(addresses, sizes, kind, scale):  # type: ignore[no-untyped-def]
    slope = kind.dtype.type(2 * scale)
    total, terms = 0.0, np.empty(BLOCK // 2)
    for k in range(len(sizes)):
        gradient = at(addresses[0, k], sizes[k], kind)
        parameter = at(addresses[1, k], sizes[k], kind)
        mean = at(addresses[2, k], sizes[k], kind)
        weight = at(addresses[3, k], sizes[k], kind)
        own = 0.0
        for first in range(0, len(gradient), len(terms)):
            last = first + len(terms)
            g, p = gradient[first:last], parameter[first:last]
            m, w = mean[first:last], weight[first:last]
            for i in range(len(g)):
                g[i] += w[i] * slope * (p[i] - m[i])
            for i in range(len(g)):
                away = p[i] - m[i]
                terms[i] = w[i] * (away * away)
            terms[len(g) :] = 0
            half = len(terms) // 2
            while half:  # pair by pair: exact enough, and many at once
                left, right = terms[:half], terms[half : 2 * half]
                for i in range(half):
                    left[i] += right[i]
                half //= 2
            own += terms[0]
        total += own
    return total


def quadratic_prior_(
    gradients: Tensors, parameters: Tensors, mean: Tensors, weights: Tensors, scale: float
) -> Tensor:
    total = _quadratic_prior(*Table(gradients, parameters, mean, weights), scale)
    return torch.tensor(total, dtype=torch.float64)
