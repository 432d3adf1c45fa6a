"""The kernels on the CPU: one pass over memory each, compiled by Numba, on one thread.

Bit-equal to the reference, but for the order of summation of a prior's value. Restoration touches
only the chosen elements; the quantile is found in two reads, by a histogram of the leading bits and
a selection among the elements of the bin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
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
KEYS = {  # the bits of a square in an integer, and how far up the leading 11 below the sign are
    "float32": (np.float32, np.uint32, 20),
    "float64": (np.float64, np.uint64, 52),
}


def flat(tensors: Tensors) -> list[Array]:
    """Arrays that share the tensors' memory."""
    return [t.detach().view(-1).numpy() for t in tensors]


def flat_gradients(gradients: Gradients, like: Tensors) -> list[Array]:
    """The same for gradients; zeros where there is none."""
    return flat(
        [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, like, strict=True)]
    )


def two(decay: float, like: Array) -> tuple[Any, Any]:
    """The decay and its complement in the type of ``like``."""
    return like.dtype.type(decay), like.dtype.type(1 - decay)


@for_cpu
def _ema(teacher, student, decay, rest):  # type: ignore[no-untyped-def]
    for i in range(len(teacher)):
        teacher[i] = teacher[i] * decay + student[i] * rest


def ema_(teacher: Tensors, student: Tensors, decays: Sequence[float]) -> None:
    for mine, theirs, decay in zip(flat(teacher), flat(student), decays, strict=True):
        _ema(mine, theirs, *two(decay, mine))


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


def restore_(parameters: Tensors, start: Tensors, draw: Draw) -> None:
    if not draw.prob:
        return
    first = 0
    for parameter, source in zip(flat(parameters), flat(start), strict=True):
        if draw.dense:
            _dense(parameter, source, first, draw.below, draw.step, draw.stream, *draw.key)
        elif len(parameter):
            table = gap_table(draw.prob)
            _sparse(parameter, source, first, table.thresholds, table.guide,
                    draw.step, draw.stream, *draw.key)  # fmt: skip
        first += len(parameter)


def ema_restore_(
    teacher: Tensors, student: Tensors, start: Tensors, decays: Sequence[float], draw: Draw
) -> None:
    ema_(teacher, student, decays)
    restore_(student, start, draw)


@for_cpu
def _restore_where(parameter, start, mask):  # type: ignore[no-untyped-def]
    for i in range(len(parameter)):
        parameter[i] = start[i] if mask[i] else parameter[i]


def restore_where_(parameters: Tensors, start: Tensors, masks: Tensors) -> None:
    for parameter, source, mask in zip(flat(parameters), flat(start), flat(masks), strict=True):
        _restore_where(parameter, source, mask)


@for_cpu
def _histogram(gradient, squares, bits, shift, counts):  # type: ignore[no-untyped-def]
    for first in range(0, len(gradient), len(squares)):
        n = min(len(squares), len(gradient) - first)
        for i in range(n):
            squares[i] = gradient[first + i] * gradient[first + i]
        for i in range(n):
            counts[bits[i] >> shift] += 1


@for_cpu
def _gather(gradient, squares, bits, shift, low, high, out, n):  # type: ignore[no-untyped-def]
    for first in range(0, len(gradient), len(squares)):
        stop = min(len(squares), len(gradient) - first)
        for i in range(stop):
            squares[i] = gradient[first + i] * gradient[first + i]
        for i in range(stop):
            key = bits[i] >> shift
            if low <= key <= high:
                out[n] = squares[i]
                n += 1
    return n


@for_cpu
def _inside(gradient, low, high, out, n_below, n_inside):  # type: ignore[no-untyped-def]
    yes, no = np.int32(1), np.int32(0)
    for first in range(0, len(gradient), GROUP):
        group = gradient[first : first + GROUP]  # its own indices need no check of their sign
        below, up_to = no, no
        for i in range(len(group)):
            square = group[i] * group[i]
            below += yes if square < low else no
            up_to += yes if square <= high else no
        inside = up_to - below
        if inside and n_inside + inside <= len(out):
            place, at = out[n_inside : n_inside + inside], 0
            for i in range(len(group)):
                square = group[i] * group[i]
                if low <= square <= high:
                    place[at] = square
                    at += 1
        n_below += below
        n_inside += inside
    return n_below, n_inside


def squared_quantile(gradients: Gradients, like: Tensors, level: float) -> Tensor:
    arrays = flat([g for g in gradients if g is not None])
    n_zeros = sum(p.numel() for g, p in zip(gradients, like, strict=True) if g is None)
    n_all = n_zeros + sum(len(array) for array in arrays)
    position = level * (n_all - 1)
    rank = math.floor(position)
    ranks = (rank, min(rank + 1, n_all - 1))
    pair = None if n_zeros else by_bracket(arrays, n_all, *ranks)
    if pair is None:
        pair = by_histogram(arrays, n_zeros, *ranks)
    first, second = torch.from_numpy(pair).unbind()
    return first if ranks[0] == ranks[1] else first + (position - rank) * (second - first)


def by_bracket(arrays: list[Array], n_all: int, low: int, high: int) -> Array | None:
    """The squares of two ranks in one read, between two values of a sample; None if they are not
    there, or too much is.
    """
    sample = np.concatenate([array[::SAMPLED] for array in arrays])
    sample *= sample
    share = low / n_all
    margin = 2 + 5 * math.sqrt(share * (1 - share) * len(sample))  # deviations of the rank
    at = [share * len(sample) - margin, share * len(sample) + margin]
    if at[0] < 0 or at[1] > len(sample) - 1:
        return None
    places = [math.floor(at[0]), math.ceil(at[1])]
    sample.partition(places)
    least, most = sample[places]
    found = np.empty(n_all // 16, sample.dtype)
    n_below, n_inside = 0, 0
    for array in arrays:
        n_below, n_inside = _inside(array, least, most, found, n_below, n_inside)
    if not n_below <= low <= high < n_below + n_inside <= n_below + len(found):
        return None
    wanted = [low - n_below, high - n_below]
    inside = found[:n_inside]
    inside.partition(wanted)
    return inside[wanted]


def by_histogram(arrays: list[Array], n_zeros: int, low: int, high: int) -> Array:
    """The squares of two ranks in two reads, whatever their distribution."""
    floats, integers, up = KEYS[str(arrays[0].dtype) if arrays else "float32"]
    squares = np.empty(BLOCK, floats)
    bits, shift = squares.view(integers), integers(up)
    counts = np.zeros(2 * BINS, np.int64)  # a NaN may carry a sign
    counts[0] = n_zeros
    for array in arrays:
        _histogram(array, squares, bits, shift, counts)
    upto = counts.cumsum()
    first, last = np.searchsorted(upto, [low, high], "right")
    before = int(upto[first] - counts[first])
    found = np.zeros(int(upto[last]) - before, floats)
    n = n_zeros if first == 0 else 0
    for array in arrays:
        n = _gather(array, squares, bits, shift, integers(first), integers(last), found, n)
    wanted = [low - before, high - before]
    found.partition(wanted)
    return found[wanted]


@for_cpu
def _fisher_restore(teacher, student, start, gradient, threshold, decay, rest):  # type: ignore[no-untyped-def]
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
    over_all(_fisher_restore, teacher, student, start, gradients, threshold, decay)


@for_cpu
def _fisher_restore_twice(teacher, student, start, gradient, threshold, decay, rest):  # type: ignore[no-untyped-def]
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
    over_all(_fisher_restore_twice, teacher, student, start, gradients, threshold, decay)


def over_all(
    compiled: Any,
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    """Call ``compiled`` for each parameter."""
    bound = threshold.numpy()[()]
    for t, p, s, g in zip(
        flat(teacher), flat(student), flat(start), flat_gradients(gradients, student), strict=True
    ):
        compiled(t, p, s, g, bound, *two(decay, t))


@for_cpu
def _masked_ema(teacher, student, gradient, threshold, decay, rest):  # type: ignore[no-untyped-def]
    for i in range(len(teacher)):
        below = gradient[i] * gradient[i] < threshold
        teacher[i] = teacher[i] * decay + student[i] * rest if below else teacher[i]


def masked_ema_(
    teacher: Tensors, student: Tensors, gradients: Gradients, threshold: Tensor, decay: float
) -> None:
    bound = threshold.numpy()[()]
    for t, p, g in zip(
        flat(teacher), flat(student), flat_gradients(gradients, student), strict=True
    ):
        _masked_ema(t, p, g, bound, *two(decay, t))


@for_cpu
def _quadratic_prior(gradients, parameters, means, weights, slope, terms):  # type: ignore[no-untyped-def]
    total = 0.0
    for first in range(0, len(gradients), len(terms)):
        last = first + len(terms)
        g, p = gradients[first:last], parameters[first:last]
        m, w = means[first:last], weights[first:last]
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
        total += terms[0]
    return total


def quadratic_prior_(
    gradients: Tensors, parameters: Tensors, mean: Tensors, weights: Tensors, scale: float
) -> Tensor:
    total, terms = 0.0, np.empty(BLOCK // 2)
    for g, p, m, w in zip(
        flat(gradients), flat(parameters), flat(mean), flat(weights), strict=True
    ):
        total += _quadratic_prior(g, p, m, w, g.dtype.type(2 * scale), terms)
    return torch.tensor(total, dtype=torch.float64)
