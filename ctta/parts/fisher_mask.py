"""Which weights mattered least to a batch: squared gradients under a quantile of them all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def quantile(values: Tensor, level: float) -> Tensor:
    """The quantile of a flat tensor, linear between neighbours, without a sort of all of it."""
    position = level * (len(values) - 1)
    low = math.floor(position)
    first = values.kthvalue(low + 1).values
    if low + 1 == len(values):
        return first
    second = values.kthvalue(low + 2).values
    return first + (position - low) * (second - first)


class FisherMask:
    """Elements whose squared gradient is strictly below the quantile over the whole network.

    Ties at the threshold are not below it; if more than ``level`` of the gradients are zero,
    nothing is.

    Args:
        parameters: name -> parameter with its gradient; one without counts as zero.
        level: of the quantile, in [0, 1].

    Attributes:
        squares: squared gradients, flat, in the order of the parameters.
        threshold: the quantile.
        flat: true where an element is below it.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], level: float) -> None:
        self.shapes = {name: p.shape for name, p in parameters.items()}
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters.values()]
        self.squares = torch.cat([g.reshape(-1) for g in gradients]).square()
        self.threshold = quantile(self.squares, level)
        self.flat = self.squares < self.threshold

    def by_name(self) -> dict[str, Tensor]:
        """name -> mask of the parameter's shape."""
        parts = torch.split(self.flat, [shape.numel() for shape in self.shapes.values()])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
