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
from ctta.parts.arguments import count, fraction, number, one_of
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import named_weights_and_biases, use_batch_statistics
from ctta.parts.fisher import source_fisher
from ctta.parts.fisher_mask import FisherMask
from ctta.parts.losses import symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.restore import ema_


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
    version = 1
    uses_source_data = True
    artefact_depends_on = ("source_batch_size", "source_samples", "seed")
    not_state = Method.not_state | {"fisher", "anchor"}  # neither moves along the stream

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
        self.source_samples = (
            None if source_samples is None else count("source_samples", source_samples)
        )
        self.variant = one_of("variant", variant, ("official", "paper"))
        self.model.eval().requires_grad_(True)
        use_batch_statistics(self.model)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        trained = named_weights_and_biases(self.model)
        self.anchor = {name: p.detach().clone() for name, p in trained.items()}
        self.fisher = {name: torch.zeros_like(p) for name, p in self.anchor.items()}
        self.optimizer = make_optimizer(trained.values(), optimizer)
        self.augment: Callable[[Tensor], Tensor] = Augmentation(self.generator)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x if self.variant == "official" else self.augment(x))
        target = self.predict(x)
        trained = named_weights_and_biases(self.model)
        loss = symmetric_cross_entropy(logits, target).mean() + self.penalty(trained)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.variant == "official":
            mask = FisherMask(trained, self.fisher_quantile)
            self.optimizer.step()
            self.restore_both(trained, mask)
        else:
            mask = FisherMask(trained, 1 - self.fisher_quantile)
            self.optimizer.step()
            self.move_unimportant(mask)
        self.observe("loss", loss)
        self.observe("threshold", mask.threshold)
        self.observe("student_logits", logits)
        self.observe("teacher_logits", target)
        return target + logits

    def penalty(self, trained: Mapping[str, Tensor]) -> Tensor:
        """``lambda sum F (theta - theta0)^2``."""
        parts = [
            (self.fisher[name] * (p - self.anchor[name]).square()).sum()
            for name, p in trained.items()
        ]
        return self.fisher_weight * torch.stack(parts).sum()

    @torch.no_grad()
    def restore_both(self, trained: Mapping[str, Tensor], mask: FisherMask) -> None:
        """Teacher moves; masked weights of both go back; the teacher's others move once more."""
        ema_(self.teacher, self.model, self.ema_decay)
        teacher = named_weights_and_biases(self.teacher)
        for name, chosen in mask.by_name().items():
            self.observe(f"mask/{name}", chosen)
            trained[name].copy_(torch.where(chosen, self.anchor[name], trained[name]))
        ema_(self.teacher, self.model, self.ema_decay)
        for name, chosen in mask.by_name().items():
            teacher[name].copy_(torch.where(chosen, trained[name], teacher[name]))

    @torch.no_grad()
    def move_unimportant(self, mask: FisherMask) -> None:
        """The teacher's weights follow the student where the mask says that they matter little."""
        teacher = named_weights_and_biases(self.teacher)
        kept = {name: p.clone() for name, p in teacher.items()}
        ema_(self.teacher, self.model, self.ema_decay)
        for name, chosen in mask.by_name().items():
            teacher[name].copy_(torch.where(chosen, teacher[name], kept[name]))

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.teacher(x)
        return logits

    def artefact(self, source: SourceData) -> Artefact:
        chosen = source.drawn(self.source_samples, seed=self.arguments["seed"])
        images = (x.to(self.device) for x, _ in chosen.batches(self.source_batch_size))
        return dict(source_fisher(self.model, named_weights_and_biases(self.model), images))

    def install(self, artefact: Artefact, source: SourceData) -> None:
        for name, value in artefact.items():
            assert isinstance(value, Tensor)
            self.fisher[name] = value.to(self.fisher[name])
