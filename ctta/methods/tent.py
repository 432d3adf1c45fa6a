"""TENT: entropy minimisation over the normalisation layers' affine parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.batch_norm import norm_only
from ctta.parts.losses import entropy
from ctta.parts.optimizer import make_optimizer


class Tent(Method):
    """Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021.

    Batch norm normalises with the batch at hand; weights and biases of all normalisation layers
    are trained on the mean entropy. The prediction is that of before the update. The model stays
    in eval mode (no dropout); the authors' code uses train mode, which differs only with dropout.
    BatchNorm1d, which the authors leave out, is treated as BatchNorm2d is, but for a single row,
    which has no statistics: `ctta.parts.batch_norm.use_batch_statistics`.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        shared: see `Method`.
    """

    paper = "arXiv 2006.10726"
    version = 1

    def __init__(self, model: SourceModel, *, optimizer: Mapping[str, Any], **shared: Any) -> None:
        super().__init__(model, **shared)
        self.optimizer = make_optimizer(norm_only(self.model).values(), optimizer)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        loss = entropy(logits).mean()
        self.observe("loss", loss)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits
