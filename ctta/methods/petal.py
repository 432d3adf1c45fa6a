"""PETAL: CoTTA with a source posterior in the loss and a restore that the Fisher mask decides."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Artefact
from ctta.methods.cotta import CoTTA
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, fraction, number, one_of
from ctta.parts.fisher_mask import FisherMask
from ctta.parts.posterior import SwagRecipe, fit_posterior
from ctta.parts.prior import pull_


class PETAL(CoTTA):
    """Brahma and Rai, "A Probabilistic Framework for Lifelong Test-Time Adaptation", CVPR 2023.

    Args:
        model: the source model. After the preparation the student starts from the posterior's
            mean, and so do teacher, anchor and the values that are restored.
        restore: ``fisher`` puts back the weights with the smallest squared gradients, ``random``
            does as CoTTA.
        restore_prob: for ``random``.
        fisher_quantile: delta, the share that is put back, for ``fisher``.
        prior_weight: lambda of ``1/2 sum (theta - mean)^2 / (variance + damping)``, a sum over
            all parameters beside a mean over the batch.
        prior_damping: what keeps that fraction finite.
        swag_epochs: of the training along which the posterior is fitted; 2 or more.
        swag_batch_size: images a step of it.
        swag_first_lr: in its first epoch.
        swag_last_lr: from its fourth epoch on.
        shared: see `CoTTA` and `Method`.

    Attributes:
        prior_mean: by parameter.
        prior_variance: by parameter.
    """

    paper = "arXiv 2212.09713"
    version = 2  # 1 drew its masks from a generator, and added the prior before the backward pass
    uses_source_data = True
    artefact_depends_on = ("swag_epochs", "swag_batch_size", "swag_first_lr", "swag_last_lr")
    not_state = CoTTA.not_state | {  # none of it moves
        "prior_mean", "prior_variance", "precision", "source_model"}  # fmt: skip

    def __init__(
        self,
        model: SourceModel,
        *,
        restore: Literal["fisher", "random"],
        restore_prob: float | None,
        fisher_quantile: float | None,
        prior_weight: float,
        prior_damping: float,
        swag_epochs: int | None = None,
        swag_batch_size: int | None = None,
        swag_first_lr: float | None = None,
        swag_last_lr: float | None = None,
        **shared: Any,
    ) -> None:
        by_fisher = one_of("restore", restore, ("fisher", "random")) == "fisher"
        prob = 0.0 if by_fisher else fraction("restore_prob", restore_prob)
        super().__init__(model, restore_prob=prob, **shared)
        self.fisher_quantile = fraction("fisher_quantile", fisher_quantile) if by_fisher else None
        self.prior_weight = number("prior_weight", prior_weight, low=0)
        self.prior_damping = number("prior_damping", prior_damping, low=0)
        self.source_model: SourceModel | None = model  # with its statistics, until it is prepared
        self.prior_mean = {name: p.detach().clone() for name, p in self.weights.items()}
        self.prior_variance = {name: torch.ones_like(p) for name, p in self.prior_mean.items()}
        self.precision: dict[str, Tensor] | None = None  # of the prior; from its variance

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        target = self.pseudo_label(x)
        divergence = self.divergence(logits, target)
        self.optimizer.zero_grad()
        divergence.backward()  # type: ignore[no-untyped-call]
        distance = self.pull()
        mask = None
        if self.fisher_quantile is not None:
            mask = FisherMask(self.trained, self.fisher_quantile)
        self.optimizer.step()
        self.move(mask)
        self.observe("student_logits", logits)
        self.observe("loss_H", divergence)
        if self.observers:
            self.observe("loss_reg", distance / 2)
            self.observe("loss", divergence + self.prior_weight * (distance / 2))
        return target

    def pull(self) -> Tensor:
        """Adds the gradient of ``prior_weight/2 sum (theta - mean)^2 / (variance + damping)`` to
        the parameters' own, and returns the sum.
        """
        if self.precision is None:
            spread = {n: v + self.prior_damping for n, v in self.prior_variance.items()}
            self.precision = {name: 1 / value for name, value in spread.items()}
        return pull_(self.weights, self.prior_mean, self.precision, self.prior_weight / 2)

    def move(self, mask: FisherMask | None) -> None:
        """The teacher follows; masked weights of the student go back to its start."""
        if mask is None:
            self.restore.after_ema(self.teacher_weights, self.weights, self.ema_decay)
            return
        mask.after_ema(self.teacher_weights, self.weights, self.restore.start, self.ema_decay)
        if self.observers:
            self.observe("fim", mask.squares)
            self.observe("fim_threshold", mask.threshold)
            self.observe("fim_mask", mask.flat)
            self.observe("fim_restored", mask.flat.sum())

    def artefact(self, source: SourceData) -> Artefact:
        assert self.source_model is not None, "prepared already"
        given = self.arguments
        recipe = SwagRecipe(
            epochs=count("swag_epochs", given["swag_epochs"], low=2),
            batch_size=count("swag_batch_size", given["swag_batch_size"]),
            first_lr=number("swag_first_lr", given["swag_first_lr"], low=0),
            last_lr=number("swag_last_lr", given["swag_last_lr"], low=0),
        )
        mean, variance = fit_posterior(self.source_model, source, recipe, self.device)
        named = {f"mean/{name}": value for name, value in mean.items()}
        return {**named, **{f"variance/{name}": value for name, value in variance.items()}}

    @torch.no_grad()
    def install(self, artefact: Artefact, source: SourceData) -> None:
        self.source_model = self.precision = None
        for name in self.prior_mean:
            mean, variance = artefact[f"mean/{name}"], artefact[f"variance/{name}"]
            assert isinstance(mean, Tensor)
            assert isinstance(variance, Tensor)
            self.prior_mean[name].copy_(mean)
            self.prior_variance[name].copy_(variance)
            for part in (self.model, self.teacher, self.anchor):
                part.get_parameter(name).copy_(mean)
            if name in self.restore.start:
                self.restore.start[name].copy_(mean)
