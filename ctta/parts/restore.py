"""Moving averages of models, and stochastic restoration.

Models come as their named parameters, which a method gathers once: on a small model a walk costs
more than the update.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from torch import Tensor, nn

from ctta import kernels
from ctta.parts.arguments import fraction

Weights = Mapping[str, Tensor]


def ema_(teacher: Weights, student: Weights, decay: float) -> None:
    """``teacher <- decay teacher + (1-decay) student``, name by name."""
    kernels.ema_(teacher.values(), [student[name] for name in teacher], decay)


def ema_except_(teacher: Weights, student: Weights, names: Container[str], decay: float) -> None:
    """`ema_` of the parameters that are not among ``names``."""
    rest = [name for name in teacher if name not in names]
    if rest:
        kernels.ema_([teacher[n] for n in rest], [student[n] for n in rest], decay)


class RandomRestore:
    """Puts each element back to its start value with probability ``prob``, independently.

    The optimizer's moments stay as they are.

    Args:
        parameters: name -> parameter; their values at this moment are the start values.
        prob: in [0, 1].
        seed: of the draws; they depend on it, on the number of earlier restorations and on the
            place of an element among all, on nothing else.

    Raises:
        ValueError: ``prob`` outside [0, 1].
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], *, prob: float, seed: int) -> None:
        self.prob = fraction("restore_prob", prob)
        self.seed = seed
        self.step = 0
        self.start = {name: p.detach().clone() for name, p in parameters.items()}

    def next_draw(self) -> kernels.Draw:
        """The draw of the next restoration."""
        self.step += 1
        return kernels.Draw(self.prob, self.seed, self.step - 1)

    def __call__(self, parameters: Weights) -> None:
        """Restore ``parameters`` in place."""
        own = [parameters[name] for name in self.start]
        kernels.restore_(own, self.start.values(), self.next_draw())

    def after_ema(
        self, teacher: Weights, student: Weights, decay: float | Mapping[str, float]
    ) -> None:
        """`ema_` of the teacher, then restore the student, in one pass.

        Args:
            teacher: moved in place.
            student: restored in place.
            decay: one for all parameters, or, if all are restored, one a name.
        """
        kernels.ema_restore_(
            [teacher[name] for name in self.start],
            [student[name] for name in self.start],
            self.start.values(),
            decay if isinstance(decay, float) else [decay[name] for name in self.start],
            self.next_draw(),
        )
        if isinstance(decay, float):
            ema_except_(teacher, student, self.start, decay)

    def state_dict(self) -> dict[str, int]:
        """How many draws there were; the start values never move."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on drawing where the saved one stood."""
        self.step = state["step"]
