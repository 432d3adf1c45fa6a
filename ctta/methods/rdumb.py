"""RDumb: ETA that goes back to the source at a fixed beat."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ctta.methods.eta import ETA
from ctta.models.source import SourceModel
from ctta.parts.arguments import count


class RDumb(ETA):
    """Press et al., "RDumb: A simple approach that questions our progress in CTTA", NeurIPS 2023.

    Args:
        model: the source model.
        reset_every: R; reset after update number R, 2R, ..., those that kept nothing included.
        shared: see `ETA` and `Method`.

    Attributes:
        n_updates: counted over the whole stream; no reset of either kind touches it.
    """

    paper = "arXiv 2306.05401"
    version = 1

    def __init__(self, model: SourceModel, *, reset_every: int, **shared: Any) -> None:
        super().__init__(model, **shared)
        self.reset_every = count("reset_every", reset_every)
        self.n_updates = 0

    def adapt(self, x: Tensor) -> Tensor:
        logits = super().adapt(x)
        self.n_updates += 1
        if self.n_updates % self.reset_every == 0:
            self.reset()
        return logits

    def reset(self) -> None:
        """As every method's; the beat is the stream's and goes on."""
        n_updates = self.n_updates
        super().reset()
        self.n_updates = n_updates
