"""The source model as it is: the first negative control."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel


class Source(Method):
    """Predicts with the stored statistics and learns nothing."""

    paper = "none"
    version = 1
    adapts = False

    def __init__(self, model: SourceModel, **shared: Any) -> None:
        super().__init__(model, **shared)
        self.model.eval().requires_grad_(False)

    def adapt(self, x: Tensor) -> Tensor:
        return self.predict(x)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits
