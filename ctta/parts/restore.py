"""Moving averages of models, and stochastic restoration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ctta import kernels
from ctta.parts.arguments import fraction


def ema_(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """``teacher <- decay teacher + (1-decay) student`` over all parameters, no buffers."""
    kernels.ema_(teacher.parameters(), student.parameters(), decay)


def ema_except_(teacher: nn.Module, student: nn.Module, names: Iterable[str], decay: float) -> None:
    """`ema_` of the parameters that are not among ``names``."""
    left_out, mine = set(names), dict(teacher.named_parameters())
    rest = {n: p for n, p in student.named_parameters() if n not in left_out}
    if rest:
        kernels.ema_([mine[name] for name in rest], rest.values(), decay)


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

    def __call__(self, parameters: Mapping[str, Tensor]) -> None:
        """Restore ``parameters`` in place."""
        own = [parameters[name] for name in self.start]
        kernels.restore_(own, self.start.values(), self.next_draw())

    def after_ema(
        self, teacher: nn.Module, student: nn.Module, decay: float | Mapping[str, float]
    ) -> None:
        """`ema_` of the teacher, then restore the student, in one pass.

        Args:
            teacher: moved in place.
            student: restored in place.
            decay: one for all parameters, or, if all are restored, one a name.
        """
        mine, theirs = dict(teacher.named_parameters()), dict(student.named_parameters())
        kernels.ema_restore_(
            [mine[name] for name in self.start],
            [theirs[name] for name in self.start],
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
