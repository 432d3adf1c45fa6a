"""MyMethod: one sentence about what it does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import fraction


class MyMethod(Method):
    """Authors, "Title", venue year, arXiv number.

    What stands here works, and is there to be replaced: the logits are corrected for how often the
    stream has shown each class so far, by a moving average of the predictions.

    Args:
        model: the source model; `self.model` is a copy of it that may be changed.
        ema_decay: of the average, in [0, 1].
        shared: steps, episodic, seed and reset, see `Method`.
    """

    paper = "arXiv number"
    version = 1

    def __init__(self, model: SourceModel, *, ema_decay: float, **shared: Any) -> None:
        super().__init__(model, **shared)
        self.ema_decay = fraction("ema_decay", ema_decay)
        self.model.eval().requires_grad_(False)
        n_classes = model.card.n_classes
        self.share = torch.full((n_classes,), 1 / n_classes, device=self.device, dtype=self.dtype)

    @torch.no_grad()
    def adapt(self, x: Tensor) -> Tensor:
        """x [B,C,H,W] in [0,1] -> logits [B,K]; learns on the way."""
        logits: Tensor = self.model(x)
        self.share.lerp_(logits.softmax(1).mean(0), 1 - self.ema_decay)
        return self.corrected(logits)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """What it would answer now, changing nothing."""
        return self.corrected(self.model(x))

    def corrected(self, logits: Tensor) -> Tensor:
        """Logits [B,K] as if every class came equally often."""
        return logits - self.share.clamp_min(1e-8).log()
