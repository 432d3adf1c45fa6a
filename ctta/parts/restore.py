"""Moving averages and stochastic restoration of parameters, in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ctta.parts.arguments import fraction


def ema_(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """``teacher <- decay teacher + (1-decay) student`` over all parameters, no buffers."""
    ema_parameters_(teacher.parameters(), student.parameters(), decay)


@torch.no_grad()
def ema_parameters_(teacher: Iterable[Tensor], student: Iterable[Tensor], decay: float) -> None:
    """``teacher <- decay teacher + (1-decay) student``, pair by pair."""
    for mine, theirs in zip(teacher, student, strict=True):
        mine.mul_(decay).add_(theirs * (1 - decay))  # three roundings, as the official codes


class RandomRestore:
    """Puts each element back to its start value with probability ``prob``, independently.

    Args:
        parameters: name -> parameter; their values at this moment are the start values.
        prob: in [0, 1]; 0 draws nothing.
        generator: where the draws come from.

    Raises:
        ValueError: ``prob`` outside [0, 1].
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], *, prob: float, generator: torch.Generator
    ) -> None:
        self.prob = fraction("restore_prob", prob)
        self.generator = generator
        self.start = {name: p.detach().clone() for name, p in parameters.items()}

    def masks(self) -> Iterable[tuple[str, Tensor]]:
        """Name -> mask of this update; true means restored."""
        for name, start in self.start.items():
            if self.prob:
                drawn = torch.rand(start.shape, generator=self.generator) < self.prob
                yield name, drawn.to(start.device)

    @torch.no_grad()
    def __call__(self, parameters: Mapping[str, Tensor]) -> None:
        """Restore ``parameters`` in place; the optimizer's moments stay as they are."""
        for name, mask in self.masks():
            parameters[name].copy_(torch.where(mask, self.start[name], parameters[name]))

    def state_dict(self) -> dict[str, Tensor]:
        """The generator's state; the start values never move."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on drawing where the saved one stood."""
        self.generator.set_state(state["generator"].cpu())
