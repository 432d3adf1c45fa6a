"""PSMT: a mean teacher whose parameters are chosen by the Fisher information of the batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Artefact, Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, count_or_none, fraction, number, one_of
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import named_weights_and_biases, use_batch_statistics
from ctta.parts.fisher import source_fisher
from ctta.parts.fisher_mask import FisherMask
from ctta.parts.losses import symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.prior import pull_


class PSMT(Method):
    """Tian and Lyu, "Parameter-Selective Continual Test-Time Adaptation", ACCV 2024.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        ema_decay: m; the official code applies it twice a batch.
        fisher_weight: lambda of ``sum F (theta - theta0)^2``, F of the source.
        fisher_quantile: share of the weights that the mask takes.
        source_batch_size: images a batch of the Fisher pass; the Fisher depends on it.
        source_samples: images of that pass, drawn from the training data; None: all.
        variant: ``official`` puts the least important weights of student and teacher back to the
            source. ``paper``, as summarised by others, keeps the most important weights of the
            teacher as they are, moves the rest once, restores nothing, and shows the student an
            augmented view; its own regulariser has no gradient at one step a batch, so the
            source's stays.
        shared: see `Method`.

    Attributes:
        fisher: F by parameter, zero before the preparation.
    """

    paper = "arXiv 2407.02253"
    version = 2  # 1 added the penalty before the backward pass
    uses_source_data = True
    artefact_depends_on = ("source_batch_size", "source_samples", "seed")
    not_state = Method.not_state | {
        "fisher", "anchor",  # neither moves along the stream
        "trained", "weights", "teacher_weights"}  # saved with the models  # fmt: skip

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        ema_decay: float,
        fisher_weight: float,
        fisher_quantile: float,
        source_batch_size: int | None = None,
        source_samples: int | None = None,
        variant: Literal["official", "paper"] = "official",
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.ema_decay = fraction("ema_decay", ema_decay)
        self.fisher_weight = number("fisher_weight", fisher_weight, low=0)
        self.fisher_quantile = fraction("fisher_quantile", fisher_quantile)
        self.source_batch_size = count("source_batch_size", source_batch_size)
        self.source_samples = count_or_none("source_samples", source_samples)
        self.variant = one_of("variant", variant, ("official", "paper"))
        self.model.eval().requires_grad_(True)
        use_batch_statistics(self.model)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        self.trained = named_weights_and_biases(self.model)
        self.weights = dict(self.model.named_parameters())
        self.teacher_weights = dict(self.teacher.named_parameters())
        self.anchor = {name: p.detach().clone() for name, p in self.trained.items()}
        self.fisher = {name: torch.zeros_like(p) for name, p in self.anchor.items()}
        self.optimizer = make_optimizer(self.trained.values(), optimizer)
        self.augment: Callable[[Tensor], Tensor] = Augmentation(self.generator)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x if self.variant == "official" else self.augment(x))
        target = self.predict(x)
        divergence = symmetric_cross_entropy(logits, target).mean()
        self.optimizer.zero_grad()
        divergence.backward()  # type: ignore[no-untyped-call]
        distance = self.pull()
        share = self.fisher_quantile
        mask = FisherMask(self.trained, share if self.variant == "official" else 1 - share)
        self.optimizer.step()
        self.move(mask)
        if self.observers:
            self.observe("loss", divergence + self.fisher_weight * distance)
        self.observe("threshold", mask.threshold)
        self.observe("student_logits", logits)
        self.observe("teacher_logits", target)
        return target + logits

    def pull(self) -> Tensor:
        """Adds the gradient of ``lambda sum F (theta - theta0)^2`` to the parameters' own, and
        returns the sum.
        """
        return pull_(self.trained, self.anchor, self.fisher, self.fisher_weight)

    def move(self, mask: FisherMask) -> None:
        """Official: the teacher moves, the least important weights of both go back, the teacher's
        others move once more. Paper: the teacher's less important weights move.
        """
        if self.variant == "official":
            teacher, student = self.teacher_weights, self.weights
            mask.after_ema(teacher, student, self.anchor, self.ema_decay, twice=True)
        else:
            mask.ema_(self.teacher_weights, self.ema_decay)
        if self.observers:
            for name, chosen in mask.by_name().items():
                self.observe(f"mask/{name}", chosen)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.teacher(x)
        return logits

    def source_part(self, source: SourceData) -> SourceData:
        return source.drawn(self.source_samples, seed=self.seed)

    def artefact(self, source: SourceData) -> Artefact:
        chosen = self.source_part(source).batches(self.source_batch_size)
        images = (x.to(self.device) for x, _ in chosen)
        return dict(source_fisher(self.model, self.trained, images))

    def install(self, artefact: Artefact, source: SourceData) -> None:
        for name, value in artefact.items():
            assert isinstance(value, Tensor)
            self.fisher[name].copy_(value)
