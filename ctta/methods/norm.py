"""Batch-norm adaptation: BN-1, BN-alpha and BN-EMA. No gradients, no loss."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import flag, fraction, one_of
from ctta.parts.batch_norm import batch_norms, mix_statistics, statistics_held


class Norm(Method):
    """Schneider et al., NeurIPS 2020 (arXiv 2006.16971); Nado et al. 2020 (arXiv 2006.10963).

    Args:
        model: the source model.
        statistics: ``batch`` (BN-1) normalises with the batch at hand; ``mixed`` (BN-alpha) with
            ``(1-s) source + s batch``; ``updated`` (BN-EMA) moves the running statistics with
            each batch and then predicts with them.
        batch_share: s in [0, 1], for ``mixed``.
        bn_momentum: of the running statistics, in [0, 1], for ``batch`` and ``updated``; in
            ``batch`` they move but no prediction uses them.
        reset_statistics: let the running statistics start from 0 and 1 (``batch``, ``updated``).
        shared: see `Method`.

    Only BatchNorm2d adapts, as in DequanWang/tent at e9e926a; a BatchNorm1d keeps the source's
    statistics, but under ``updated`` it moves with the model's forward in train mode.

    Raises:
        ValueError: a value out of range, missing although the chosen statistics need it, or given
            although they do not use it.
    """

    paper = "arXiv 2006.16971"
    version = 1

    def __init__(
        self,
        model: SourceModel,
        *,
        statistics: Literal["batch", "mixed", "updated"],
        batch_share: float | None = None,
        bn_momentum: float | None = None,
        reset_statistics: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.statistics = one_of("statistics", statistics, ("batch", "mixed", "updated"))
        self.model.eval().requires_grad_(False)
        start_anew = flag("reset_statistics", reset_statistics)
        if statistics == "mixed":
            refuse_unused(statistics, bn_momentum=bn_momentum, reset_statistics=start_anew or None)
            mix_statistics(self.model, fraction("batch_share", batch_share))
            return
        refuse_unused(statistics, batch_share=batch_share)
        momentum = fraction("bn_momentum", bn_momentum)
        for layer in batch_norms(self.model):
            layer.momentum = momentum
            layer.train(statistics == "batch")
            if start_anew:
                layer.reset_running_stats()

    @torch.no_grad()
    def adapt(self, x: Tensor) -> Tensor:
        if self.statistics == "updated":
            self.model.train()
            self.model(x)  # moves the running statistics; the prediction comes from them
            self.model.eval()
        logits: Tensor = self.model(x)
        return logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        with statistics_held(self.model):
            logits: Tensor = self.model(x)
        return logits


def refuse_unused(statistics: str, **given: float | None) -> None:
    """Raise for an argument that is not None although ``statistics`` has no use for it."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}: expected none, as statistics={statistics} does not use it, got {value}; "
                f"type method.{name}={'false' if value is True else 'null'}"
            )
