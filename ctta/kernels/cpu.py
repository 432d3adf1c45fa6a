"""The kernels on the CPU: one pass over memory each, compiled by Numba, on one thread.

Bit-equal to the reference, but for the order of summation of a prior's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ctta.counter.compiled import for_cpu
from ctta.kernels.cpu_quantile import squared_quantile
from ctta.kernels.cpu_restore import restore_, restore_rows, restore_where_
from ctta.kernels.cpu_table import Array, Table, at, filled, two
from ctta.kernels.draws import BLOCK, Draw
from ctta.kernels.reference import Gradients, Tensors

__all__ = [
    "ema_",
    "ema_restore_",
    "fisher_restore_",
    "fisher_restore_twice_",
    "masked_ema_",
    "quadratic_prior_",
    "restore_",
    "restore_where_",
    "squared_quantile",
]


@for_cpu
def _ema(rows, kind, decays):  # type: ignore[no-untyped-def]
    for k in range(rows.shape[1]):
        teacher = at(rows, 0, k, kind)
        student = at(rows, 1, k, kind)
        decay, rest = two(decays[k], kind)
        for i in range(len(teacher)):
            teacher[i] = teacher[i] * decay + student[i] * rest


def ema_(teacher: Tensors, student: Tensors, decays: Sequence[float]) -> None:
    _ema(*Table(teacher, student), of_each(decays, teacher))


def of_each(decays: Sequence[float], teacher: Tensors) -> Array:
    """The decays as a compiled function takes them, one a tensor."""
    if len(decays) != len(teacher):
        raise ValueError(f"expected a decay for each of {len(teacher)} tensors, got {len(decays)}")
    return np.array(decays, np.float64)


def ema_restore_(
    teacher: Tensors, student: Tensors, start: Tensors, decays: Sequence[float], draw: Draw
) -> None:
    table = Table(teacher, student, start)
    _ema(*table, of_each(decays, teacher))
    restore_rows(table.rows[1:], table.kind, draw)


@for_cpu
def _fisher_restore(rows, kind, threshold, decay, twice):  # type: ignore[no-untyped-def]
    decay, rest = two(decay, kind)
    for k in range(rows.shape[1]):
        teacher = at(rows, 0, k, kind)
        student = at(rows, 1, k, kind)
        start = at(rows, 2, k, kind)
        gradient = at(rows, 3, k, kind)
        for i in range(len(teacher)):
            below = gradient[i] * gradient[i] < threshold
            moved = teacher[i] * decay + student[i] * rest
            student[i] = start[i] if below else student[i]
            if twice:  # the compiler makes a loop of each case
                moved = moved * decay + student[i] * rest
                moved = student[i] if below else moved
            teacher[i] = moved


def fisher_restore_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
    *,
    twice: bool = False,
) -> None:
    table = Table(teacher, student, start, filled(gradients, student))
    _fisher_restore(*table, threshold.numpy()[()], decay, twice)


fisher_restore_twice_ = partial(fisher_restore_, twice=True)


@for_cpu
def _masked_ema(rows, kind, threshold, decay):  # type: ignore[no-untyped-def]
    decay, rest = two(decay, kind)
    for k in range(rows.shape[1]):
        teacher = at(rows, 0, k, kind)
        student = at(rows, 1, k, kind)
        gradient = at(rows, 2, k, kind)
        for i in range(len(teacher)):
            below = gradient[i] * gradient[i] < threshold
            teacher[i] = teacher[i] * decay + student[i] * rest if below else teacher[i]


def masked_ema_(
    teacher: Tensors, student: Tensors, gradients: Gradients, threshold: Tensor, decay: float
) -> None:
    table = Table(teacher, student, filled(gradients, student))
    _masked_ema(*table, threshold.numpy()[()], decay)


@for_cpu
def _quadratic_prior(rows, kind, scale):  # type: ignore[no-untyped-def]
    slope = kind.dtype.type(2 * scale)
    total, terms = 0.0, np.empty(BLOCK // 2)
    for k in range(rows.shape[1]):
        gradient = at(rows, 0, k, kind)
        parameter = at(rows, 1, k, kind)
        mean = at(rows, 2, k, kind)
        weight = at(rows, 3, k, kind)
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
    return torch.from_numpy(np.array(total))
