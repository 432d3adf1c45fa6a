"""What ROID and CMF share: certain and diverse samples, a likelihood-ratio loss, a prior."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, flag, fraction, number
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import norm_only
from ctta.parts.losses import soft_likelihood_ratio, symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer


class LikelihoodRatio(Method):
    """Adapts on the soft likelihood ratio; a subclass says what holds the weights.

    A batch of one image is learnt from as well: it is kept, with weight 1, as the two measures that
    are scaled to [0,1] over the batch become 0; the official code divides 0 by 0 there. Its batch
    norm then sees that image alone, so let a stream of single images pass through a window.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        temperature: T of the weights ``exp(diversity certainty / T)``.
        prob_ema_decay: of the mean class probabilities.
        consistency: add the symmetric cross entropy to an augmented view of the kept samples.
        prior_correction: multiply the logits by the smoothed class prior of the batch.
        nominal_batch_size: divides the sums of the loss, also for a shorter batch.
        shared: see `Method`.

    Attributes:
        class_probs_ema: pi [K], uniform at first.
    """

    not_state = Method.not_state | {"trained"}  # saved with the model

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        temperature: float,
        prob_ema_decay: float,
        consistency: bool,
        prior_correction: bool,
        nominal_batch_size: int,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.temperature = number("temperature", temperature, low=1e-6)
        self.prob_ema_decay = fraction("prob_ema_decay", prob_ema_decay)
        self.consistency = flag("consistency", consistency)
        self.prior_correction = flag("prior_correction", prior_correction)
        self.nominal_batch_size = count("nominal_batch_size", nominal_batch_size)
        self.trained = norm_only(self.model)
        self.optimizer = make_optimizer(self.trained.values(), optimizer)
        n_classes = self.model.card.n_classes
        self.class_probs_ema = torch.full(
            (n_classes,), 1 / n_classes, device=self.device, dtype=self.dtype
        )
        self.augment: Callable[[Tensor], Tensor] = Augmentation(
            self.generator, padding="reflect", blur=False, noise=False
        )

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        plain = logits.detach()
        probs = plain.softmax(1)
        class_probs = probs.mean(0)
        weights, kept = self.weights(plain, probs)
        self.class_probs_ema = self.class_probs_ema.lerp(class_probs, 1 - self.prob_ema_decay)
        answer = plain * smoothed_prior(class_probs, len(x)) if self.prior_correction else plain
        ratio = soft_likelihood_ratio(logits)
        chosen = kept.nonzero()[:, 0]
        losses = ratio.index_select(0, chosen)
        if self.consistency:
            own = logits.index_select(0, chosen)
            views: Tensor = self.model(self.augment(x.index_select(0, chosen)))
            distance = symmetric_cross_entropy(views, own)  # both sides learn
            losses = losses + distance
            if self.observers:
                every = torch.full_like(weights, torch.nan)
                self.observe("sce", every.masked_scatter(kept, distance))
        loss = weights.index_select(0, chosen) @ losses / self.nominal_batch_size
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.hold()
        self.observe("loss", loss)
        self.observe("slr", ratio)
        self.observe("kept", kept)
        self.observe("logits_raw", logits)
        return answer

    def weights(self, logits: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [B], and which samples are diverse enough to be kept [B]."""
        diversity = to_unit_range(1 - cosine(probs, self.class_probs_ema))
        certainty = to_unit_range((probs * logits.log_softmax(1)).sum(1))  # minus the entropy
        return (diversity * certainty / self.temperature).exp(), diversity >= diversity.mean()

    @abstractmethod
    def hold(self) -> None:
        """Keep the trained weights from drifting; called after every update."""

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits


def to_unit_range(values: Tensor) -> Tensor:
    """Shifted and scaled to [0,1]; equal values become 0."""
    low, high = values.aminmax()
    return (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)


def cosine(rows: Tensor, row: Tensor) -> Tensor:
    """Of the angles between probabilities [B,K] and [K], none of which is zero: [B]."""
    lengths: Tensor = vector_norm(rows, dim=1) * vector_norm(row)
    return rows @ row / lengths


def smoothed_prior(prior: Tensor, size: int) -> Tensor:
    """A batch's mean probabilities q [K], smoothed for its size: ``(q + s) / (1 + s K)``."""
    n_classes = len(prior)
    smoothing = max(1 / size, 1 / n_classes) / prior.max()
    return (prior + smoothing) / (1 + smoothing * n_classes)
