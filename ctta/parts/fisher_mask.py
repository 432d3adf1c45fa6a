"""Which weights mattered least to a batch: squared gradients under a quantile of them all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ctta import kernels
from ctta.parts.restore import Weights, ema_except_


class FisherMask:
    """Elements whose squared gradient is strictly below the quantile over the whole network.

    Ties at the threshold are not below it; if more than ``level`` of the gradients are zero,
    nothing is. The gradients are read again when the mask is used, so they must stay as they are.

    Args:
        parameters: name -> parameter with its gradient; one without counts as zero.
        level: of the quantile, in [0, 1].

    Attributes:
        threshold: the quantile.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], level: float) -> None:
        self.parameters = parameters
        self.gradients = [p.grad for p in parameters.values()]
        self.threshold = kernels.squared_quantile(self.gradients, parameters.values(), level)

    def after_ema(
        self,
        teacher: Weights,
        student: Weights,
        start: Weights,
        decay: float,
        *,
        twice: bool = False,
    ) -> None:
        """The teacher moves by ``decay``; then masked elements of the student are put back.

        Args:
            teacher: all its parameters by name, moved in place.
            student: all its parameters; those of the mask are among them.
            start: by name, what masked elements go back to.
            twice: the teacher moves once more, and is put back with the student.
        """
        kernels.fisher_restore_(
            [teacher[name] for name in self.parameters],
            self.parameters.values(),
            [start[name] for name in self.parameters],
            self.gradients,
            self.threshold,
            decay,
            twice=twice,
        )
        for _ in range(2 if twice else 1):
            ema_except_(teacher, student, self.parameters, decay)

    def ema_(self, teacher: Weights, decay: float) -> None:
        """The teacher's masked elements move by ``decay``, its others stay."""
        kernels.masked_ema_(
            [teacher[name] for name in self.parameters],
            self.parameters.values(),
            self.gradients,
            self.threshold,
            decay,
        )

    @property
    def squares(self) -> Tensor:
        """Squared gradients, flat, in the order of the parameters."""
        found = [
            torch.zeros_like(p) if g is None else g.square()
            for g, p in zip(self.gradients, self.parameters.values(), strict=True)
        ]
        return torch.cat([square.flatten() for square in found])

    @property
    def flat(self) -> Tensor:
        """True where an element is below the threshold, flat."""
        return self.squares < self.threshold

    def by_name(self) -> dict[str, Tensor]:
        """name -> mask of the parameter's shape."""
        parts = torch.split(self.flat, [p.numel() for p in self.parameters.values()])
        return {
            name: part.view(p.shape)
            for (name, p), part in zip(self.parameters.items(), parts, strict=True)
        }
