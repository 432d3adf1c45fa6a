"""Strided tensors (channels last) as contiguous ones, so that they need no form of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

Group = Sequence[Tensor | None]


def contiguous(*groups: Group) -> bool:
    """Whether all tensors lie row by row."""
    return all(map(Tensor.is_contiguous, [t for group in groups for t in group if t is not None]))


def in_order_of_memory(*groups: Group) -> tuple[Sequence[Any], bool]:
    """The groups, tensor by tensor as views whose dimensions follow the memory, and whether all
    of them are contiguous then.

    For updates that treat elements one by one, in whatever order. Where the tensors of one place
    have no gaps and one layout, their views are contiguous; else they stay as they are.
    """
    if contiguous(*groups):
        return groups, True
    places = [as_one_layout(place) for place in zip(*groups, strict=True)]
    views = [list(group) for group in zip(*places, strict=True)]
    return views, contiguous(*views)


def as_one_layout(place: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """The tensors of one place, permuted as the first of them lies."""
    first = next((t for t in place if t is not None), None)
    if first is None or contiguous(place):
        return place
    order = sorted(range(first.ndim), key=first.stride, reverse=True)
    views = tuple(None if t is None else t.detach().permute(order) for t in place)
    return views if contiguous(views) else place
