"""ETA: entropy minimisation on samples that are reliable and not redundant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import fraction, number
from ctta.parts.batch_norm import norm_only
from ctta.parts.losses import entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.selection import loss_or_nan, mean_over, reliable


class ETA(Method):
    """Niu et al., "Efficient Test-Time Model Adaptation without Forgetting", ICML 2022.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        entropy_margin: E0 / ln K; reliable is an entropy below it.
        redundancy_margin: d; kept are samples whose cosine with the running mean probability is
            below it.
        prob_ema_decay: of that mean, over the kept samples.
        shared: see `Method`.

    Attributes:
        model_probs: the running mean probability [K], or None at first.
    """

    paper = "arXiv 2204.02610"
    version = 1
    not_state = Method.not_state | {"trained"}  # saved with the model

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        entropy_margin: float,
        redundancy_margin: float,
        prob_ema_decay: float,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.entropy_margin = number("entropy_margin", entropy_margin, low=0)
        self.redundancy_margin = number("redundancy_margin", redundancy_margin, low=0)
        self.prob_ema_decay = fraction("prob_ema_decay", prob_ema_decay)
        self.trained = norm_only(self.model)
        self.optimizer = make_optimizer(self.trained.values(), optimizer)
        self.model_probs: Tensor | None = None

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        entropies = entropy(logits)
        kept = self.select(logits.detach().softmax(1), entropies.detach())
        bound = self.entropy_margin * math.log(logits.shape[1])
        weights = (bound - entropies.detach()).exp()
        loss = mean_over(weights * entropies, kept) + self.penalty()
        if kept.any():
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        self.observe("entropy", entropies)
        self.observe("loss", loss_or_nan(loss, kept))
        return logits

    def select(self, probs: Tensor, entropies: Tensor) -> Tensor:
        """Samples [B] to learn from; moves the running mean probability by theirs."""
        kept = reliable(entropies, self.entropy_margin, probs.shape[1])
        self.observe("reliable", kept)
        if self.model_probs is not None:
            similarity = F.cosine_similarity(self.model_probs[None], probs)
            kept = kept & (similarity.abs() < self.redundancy_margin)
        self.observe("used", kept)
        if kept.any():
            mean, decay = probs[kept].mean(0), self.prob_ema_decay
            old = self.model_probs
            self.model_probs = mean if old is None else decay * old + (1 - decay) * mean
        return kept

    def penalty(self) -> Tensor | float:
        """What is added to the loss."""
        return 0.0

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits
