"""The kernels on a CUDA device: one launch an update, in place, nothing waits for the device.

Bit-equal to the reference, but for the order of summation of a prior. After a first call
on the same tensors every function may stand inside a CUDA graph; a draw is replayed with the step
that it was captured with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from ctta.kernels import gpu_device
from ctta.kernels.draws import Draw
from ctta.kernels.gpu_device import Program
from ctta.kernels.gpu_tables import addresses, decays, draw_arguments, layout
from ctta.kernels.reference import Gradients, Tensors, refuse_other_masks

WARP = 32
BINS = 1 << 11
DIGITS = {torch.float32: (11, 10, 10), torch.float64: (11, 11, 11, 10, 10, 10)}
"""Widths of the digits of a square's bits without the sign, from the leading one."""
CTAS_A_PROCESSOR = 4
KEPT_PART = 8
"""One key in so many may be kept for the later passes, half a byte a float32 parameter."""


def number(value: float, like: torch.dtype) -> np.generic:
    """A scalar in the type of the elements, as torch rounds it."""
    return np.float32(value) if like == torch.float32 else np.float64(value)


def decay_arguments(each: Sequence[float], teacher: Tensors) -> tuple[np.generic, ...]:
    """Table of decays, or none; one decay for all and its complement."""
    if len(each) != len(teacher):
        raise ValueError(f"expected a decay for each of {len(teacher)} tensors, got {len(each)}")
    dtype = teacher[0].dtype
    own = np.uintp(0) if len(set(each)) == 1 else decays(each, dtype, teacher[0].device)
    return own, number(each[0], dtype), number(1 - each[0], dtype)


def ema_(teacher: Tensors, student: Tensors, decays: Sequence[float]) -> None:
    """``teacher <- decay teacher + (1 - decay) student``; the student may have half the width."""
    first, where = teacher[0], layout(teacher)
    gpu_device.launch(
        Program("averages", first.dtype, student[0].dtype),
        "average",
        where.blocks,
        (
            *where.arguments,
            addresses(teacher, where),
            addresses(student, where),
            *decay_arguments(decays, teacher),
        ),
        first.device,
    )


def ema_restore_(
    teacher: Tensors, student: Tensors, start: Tensors, decays: Sequence[float], draw: Draw
) -> None:
    """`ema_`, then `restore_` of the student, in one pass."""
    if not draw.prob:
        ema_(teacher, student, decays)
        return
    first, where = teacher[0], layout(teacher)
    gpu_device.launch(
        Program("averages", first.dtype, student[0].dtype),
        "average_restore",
        where.blocks,
        (
            *where.arguments,
            addresses(teacher, where),
            addresses(student, where),
            addresses(start, where),
            *decay_arguments(decays, teacher),
            *draw_arguments(draw, first.device),
        ),
        first.device,
    )


def restore_(parameters: Tensors, start: Tensors, draw: Draw) -> None:
    """Chosen elements go back to their start; no other is touched."""
    if not draw.prob:
        return
    first, where = parameters[0], layout(parameters)
    gpu_device.launch(
        Program("restore", first.dtype),
        "restore",
        -(-where.blocks * WARP // gpu_device.THREADS),
        (
            *where.arguments,
            addresses(parameters, where),
            addresses(start, where),
            *draw_arguments(draw, first.device),
        ),
        first.device,
    )


def restore_where_(parameters: Tensors, start: Tensors, masks: Tensors) -> None:
    """Elements where a mask is true go back to their start."""
    refuse_other_masks(masks)
    first, where = parameters[0], layout(parameters)
    tables = [addresses(tensors, where) for tensors in (parameters, start, masks)]
    gpu_device.launch(
        Program("restore", first.dtype),
        "restore_where",
        where.blocks,
        (*where.arguments, *tables),
        first.device,
    )


def squared_quantile(gradients: Gradients, like: Tensors, level: float) -> Tensor:
    """The quantile of all squared gradients together, by counting their digits."""
    first, where = like[0], layout(like)
    if not where.total:
        raise ValueError("expected gradients of at least one element, got none")
    widths = DIGITS[first.dtype]
    position = level * (where.total - 1)
    low = math.floor(position)
    high = min(low + 1, where.total - 1)
    ranks = torch.zeros(5, dtype=torch.int64, device=first.device)  # and how many keys are kept
    counts = torch.zeros(len(widths), 2, BINS, dtype=torch.int64, device=first.device)
    room = -(-where.total // KEPT_PART)
    kept = torch.empty(room, dtype=first.dtype, device=first.device)
    result = torch.empty((), dtype=first.dtype, device=first.device)
    state, program = np.uintp(ranks.data_ptr()), Program("quantile", first.dtype)
    keys = (np.uintp(kept.data_ptr()), np.uintp(ranks[4:].data_ptr()), np.uint64(room))
    own = addresses(gradients, where)
    grid = min(where.blocks, CTAS_A_PROCESSOR * gpu_device.processors(first.device))
    for digit, (width, passed) in enumerate(zip(widths, accumulate(widths), strict=True)):
        shift, counted = np.int32(sum(widths) - passed), np.uintp(counts[digit].data_ptr())
        gpu_device.launch(
            program,
            "count_digits",
            grid,
            (*where.arguments, own, state, counted, *keys, shift, np.int32(width), np.int32(digit)),
            first.device,
        )
        gpu_device.launch(
            program,
            "choose_digit",
            1,
            (
                state,
                counted,
                shift,
                np.int32(digit == 0),
                np.uint64(low),
                np.uint64(high),
                number(position - low, first.dtype),
                np.uintp(result.data_ptr()),
            ),
            first.device,
        )
    return result


def fisher_restore_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    """The teacher moves, then the student's elements of squares below the threshold go back."""
    below_threshold("fisher_restore", [teacher, student, start, gradients], threshold, decay)


def fisher_restore_twice_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    """As `fisher_restore_`, then the teacher moves again, or is put back with the student."""
    below_threshold("fisher_restore_twice", [teacher, student, start, gradients], threshold, decay)


def masked_ema_(
    teacher: Tensors, student: Tensors, gradients: Gradients, threshold: Tensor, decay: float
) -> None:
    """The teacher moves where the squared gradient is below the threshold."""
    below_threshold("masked_average", [teacher, student, gradients], threshold, decay)


def below_threshold(
    kernel: str, groups: Sequence[Gradients], threshold: Tensor, decay: float
) -> None:
    """Launch a kernel of ``fisher.cu`` over groups of which the first is the teacher."""
    first = groups[0][0]
    assert first is not None
    where = layout([t for t in groups[0] if t is not None])
    gpu_device.launch(
        Program("fisher", first.dtype),
        kernel,
        where.blocks,
        (
            *where.arguments,
            *(addresses(group, where) for group in groups),
            np.uintp(threshold.data_ptr()),
            number(decay, first.dtype),
            number(1 - decay, first.dtype),
        ),
        first.device,
    )


def quadratic_prior_(
    gradients: Tensors, parameters: Tensors, mean: Tensors, weights: Tensors, scale: float
) -> Tensor:
    """Adds the gradient of ``scale sum weights (parameter - mean)^2``; returns the sum."""
    first, where = gradients[0], layout(gradients)
    partial = torch.empty(where.blocks, dtype=torch.float64, device=first.device)
    result = torch.empty((), dtype=torch.float64, device=first.device)
    program, sums = Program("prior", first.dtype), np.uintp(partial.data_ptr())
    groups = (gradients, parameters, mean, weights)
    gpu_device.launch(
        program,
        "prior",
        where.blocks,
        (
            *where.arguments,
            *(addresses(group, where) for group in groups),
            number(2 * scale, first.dtype),
            sums,
        ),
        first.device,
    )
    gpu_device.launch(
        program,
        "prior_sum",
        1,
        (sums, np.int64(where.blocks), np.uintp(result.data_ptr())),
        first.device,
    )
    return result
