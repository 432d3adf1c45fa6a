"""What the kernels mean, in plain torch. Every product and every sum is rounded on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ctta.kernels.draws import Draw, chosen

Tensors = Sequence[Tensor]
Gradients = Sequence[Tensor | None]


@torch.no_grad()
def ema_(teacher: Tensors, student: Tensors, decays: Sequence[float]) -> None:
    """``teacher <- decay teacher + (1 - decay) student``."""
    for mine, theirs, decay in zip(teacher, student, decays, strict=True):
        moved_(mine, theirs, decay)


def moved_(mine: Tensor, theirs: Tensor, decay: float) -> Tensor:
    """One tensor of `ema_`: two products and their sum, as the official codes round them."""
    return mine.mul_(decay).add_(theirs.to(mine.dtype) * (1 - decay))


@torch.no_grad()
def restore_(parameters: Tensors, start: Tensors, draw: Draw) -> None:
    """Chosen elements go back to their start."""
    first = 0
    for parameter, source in zip(parameters, start, strict=True):
        mask = chosen(draw, first, parameter.numel(), parameter.device).view(parameter.shape)
        parameter.copy_(torch.where(mask, source, parameter))
        first += parameter.numel()


@torch.no_grad()
def restore_where_(parameters: Tensors, start: Tensors, masks: Tensors) -> None:
    """Elements where a mask is true go back to their start."""
    refuse_other_masks(masks)
    for parameter, source, mask in zip(parameters, start, masks, strict=True):
        parameter.copy_(torch.where(mask, source, parameter))


def refuse_other_masks(masks: Tensors) -> None:
    """Refuse masks that are not of truth values: the other forms read their bytes.

    Raises:
        ValueError: names the type.
    """
    for mask in masks:
        if mask.dtype != torch.bool:
            raise ValueError(f"masks: expected bool tensors, got {mask.dtype}; pass mask.bool()")


@torch.no_grad()
def ema_restore_(
    teacher: Tensors, student: Tensors, start: Tensors, decays: Sequence[float], draw: Draw
) -> None:
    """The teacher moves, then the student is restored."""
    ema_(teacher, student, decays)
    restore_(student, start, draw)


@torch.no_grad()
def squared_quantile(gradients: Gradients, like: Tensors, level: float) -> Tensor:
    """The quantile of all squared gradients together."""
    squares = [square(g, p).flatten() for g, p in zip(gradients, like, strict=True)]
    return quantile(torch.cat(squares), level)


def quantile(values: Tensor, level: float) -> Tensor:
    """The quantile of a flat tensor, linear between neighbours, without a sort of all of it."""
    position = level * (len(values) - 1)
    low = math.floor(position)
    first = values.kthvalue(low + 1).values
    if low + 1 == len(values):
        return first
    second = values.kthvalue(low + 2).values
    return first + (position - low) * (second - first)


def square(gradient: Tensor | None, like: Tensor) -> Tensor:
    """The squared gradient; zero where there is none."""
    return torch.zeros_like(like) if gradient is None else gradient.square()


@torch.no_grad()
def fisher_restore_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    """The teacher moves, then the student's elements of squares below the threshold go back."""
    for mine, theirs, source, gradient in zip(teacher, student, start, gradients, strict=True):
        moved_(mine, theirs, decay)
        below = square(gradient, theirs) < threshold
        theirs.copy_(torch.where(below, source, theirs))


@torch.no_grad()
def fisher_restore_twice_(
    teacher: Tensors,
    student: Tensors,
    start: Tensors,
    gradients: Gradients,
    threshold: Tensor,
    decay: float,
) -> None:
    """As `fisher_restore_`, then the teacher moves again, or is put back with the student."""
    for mine, theirs, source, gradient in zip(teacher, student, start, gradients, strict=True):
        below = square(gradient, theirs) < threshold
        moved_(mine, theirs, decay)
        theirs.copy_(torch.where(below, source, theirs))
        moved_(mine, theirs, decay)
        mine.copy_(torch.where(below, theirs, mine))


@torch.no_grad()
def masked_ema_(
    teacher: Tensors, student: Tensors, gradients: Gradients, threshold: Tensor, decay: float
) -> None:
    """The teacher moves where the squared gradient is below the threshold."""
    for mine, theirs, gradient in zip(teacher, student, gradients, strict=True):
        below = square(gradient, theirs) < threshold
        mine.copy_(torch.where(below, moved_(mine.clone(), theirs, decay), mine))


@torch.no_grad()
def quadratic_prior_(
    gradients: Tensors, parameters: Tensors, mean: Tensors, weights: Tensors, scale: float
) -> Tensor:
    """Adds the gradient of ``scale sum weights (parameter - mean)^2``; returns the sum."""
    values = []
    for gradient, parameter, centre, weight in zip(
        gradients, parameters, mean, weights, strict=True
    ):
        away = parameter - centre
        values.append((weight * away.square()).sum(dtype=torch.float64))
        gradient.add_(weight * (2 * scale) * away)
    return torch.stack(values).sum()
