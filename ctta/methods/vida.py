"""ViDA: low- and high-rank adapters whose shares follow the teacher's uncertainty."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Artefact, Method
from ctta.models.source import SourceModel
from ctta.parts.adapters import (
    adapter_parameters,
    adapter_targets,
    adapters,
    add_adapters,
    other_parameters,
    warmed_up,
)
from ctta.parts.arguments import count, flag, fraction, number
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import use_batch_statistics
from ctta.parts.losses import soft_cross_entropy, symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.restore import RandomRestore
from ctta.parts.views import answers_to_views


class ViDA(Method):
    """Liu et al., "ViDA: Homeostatic Visual Domain Adapter", ICLR 2024, arXiv 2306.04344.

    A model that has adapters already (a checkpoint after warm-up) is used as it is; else they are
    added beside `SourceModel.adapter_targets` and warmed up on source data. The authors published
    no code for that: cross entropy over the adapters alone, by Adam, is our recipe. So are
    adapters beside convolutions, with batch norm on the batch at hand.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys, for the model's own parameters.
        adapters_lr: learning rate of the adapters; None: as the rest.
        ema_decay: of the teacher's own parameters.
        adapter_ema_decay: of its adapters.
        low_rank: width of the low-rank branch.
        high_rank: width of the high-rank branch.
        n_views: augmented views whose spread is the uncertainty; 2 or more.
        uncertainty_factor: u = factor x mean over batch and classes of the variance of the logits.
        uncertainty_threshold: from it on the high-rank branch grows (1+u) and the low-rank one
            shrinks (1-u); below it is the other way round.
        scale_high_rank: false as in the official code, which leaves the high-rank branch at 1.
        restore_prob: share of all parameters put back to the start after each update; None: none.
        symmetric_loss: false as in the CIFAR code, true as in the ImageNet code.
        warmup_epochs: over the source data; 0: none.
        warmup_lr: of the warm-up.
        warmup_batch_size: of the warm-up.
        shared: see `Method`.
    """

    paper = "arXiv 2306.04344"
    version = 2  # 1 drew its masks from a generator
    uses_source_data = True
    artefact_depends_on = ("low_rank", "high_rank", "seed", "warmup_epochs", "warmup_lr",
                           "warmup_batch_size")  # fmt: skip
    survives_reset = ("scales",)
    # Saved with the models, or as the arguments.
    not_state = Method.not_state | {"weights", "teacher_weights", "decays"}

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        adapters_lr: float | None = None,
        ema_decay: float,
        adapter_ema_decay: float,
        low_rank: int,
        high_rank: int,
        n_views: int,
        uncertainty_factor: float,
        uncertainty_threshold: float,
        scale_high_rank: bool,
        restore_prob: float | None,
        symmetric_loss: bool,
        warmup_epochs: int = 0,
        warmup_lr: float | None = None,
        warmup_batch_size: int | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.ema_decay = fraction("ema_decay", ema_decay)
        self.adapter_ema_decay = fraction("adapter_ema_decay", adapter_ema_decay)
        self.n_views = count("n_views", n_views, low=2)
        self.uncertainty_factor = number("uncertainty_factor", uncertainty_factor, low=0)
        self.uncertainty_threshold = number("uncertainty_threshold", uncertainty_threshold)
        self.scale_high_rank = flag("scale_high_rank", scale_high_rank)
        self.symmetric_loss = flag("symmetric_loss", symmetric_loss)
        self.warmup_epochs = count("warmup_epochs", warmup_epochs, low=0)
        self.uses_source_data = self.warmup_epochs > 0 and not adapters(self.model)
        if self.uses_source_data:
            self.warmup_lr = number("warmup_lr", warmup_lr, low=0)
            self.warmup_batch_size = count("warmup_batch_size", warmup_batch_size)
        if not adapters(self.model):
            add_adapters(
                self.model,
                adapter_targets(self.model),
                low_rank=count("low_rank", low_rank),
                high_rank=count("high_rank", high_rank),
                generator=self.generator,
            )
        use_batch_statistics(self.model)
        self.model.train().requires_grad_(True)
        self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.scales = [1.0, 1.0]
        for adapter in (*adapters(self.model), *adapters(self.teacher)):
            adapter.scales = self.scales  # the list itself, written in place from here on
        self.weights = dict(self.model.named_parameters())
        self.teacher_weights = dict(self.teacher.named_parameters())
        own, added = other_parameters(self.model), adapter_parameters(self.model)
        self.decays = dict.fromkeys(own, self.ema_decay)
        self.decays |= dict.fromkeys(added, self.adapter_ema_decay)
        rates: dict[str, Any] = (
            {} if adapters_lr is None else {"lr": number("adapters_lr", adapters_lr, low=0)}
        )
        groups: list[dict[str, Any]] = [
            {"params": [*own.values()]},
            {"params": [*added.values()], **rates},
        ]
        self.optimizer = make_optimizer(groups, optimizer)
        self.restore = RandomRestore(self.weights, prob=restore_prob or 0.0, seed=self.seed)
        self.augment: Callable[[Tensor], Tensor] = Augmentation(self.generator)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        self.allot(x)
        target = self.predict(x)
        logits: Tensor = self.model(x)
        divergence = symmetric_cross_entropy if self.symmetric_loss else soft_cross_entropy
        loss = divergence(logits, target).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.restore.after_ema(self.teacher_weights, self.weights, self.decays)
        self.observe("loss", loss)
        return target

    @torch.no_grad()
    def allot(self, x: Tensor) -> None:
        """Set the branches' scales by the spread of the teacher's logits over views of ``x``.

        The views are seen with the scales of the batch before.
        """
        views = answers_to_views(self.teacher, self.augment, x, self.n_views)
        uncertainty = self.uncertainty_factor * views.var(0).mean()
        u = float(uncertainty)
        high, low = (1 + u, 1 - u) if u >= self.uncertainty_threshold else (1 - u, 1 + u)
        self.scales[:] = [low, high if self.scale_high_rank else 1.0]
        self.observe("uncertainty", uncertainty)
        if self.observers:
            self.observe("lambda_high", torch.tensor(high, dtype=torch.float64))
            self.observe("lambda_low", torch.tensor(low, dtype=torch.float64))

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.teacher(x)
        return logits

    def artefact(self, source: SourceData) -> Artefact:
        """The adapters' weights after the warm-up on ``source``."""
        return dict(
            warmed_up(
                self.model,
                source,
                epochs=self.warmup_epochs,
                lr=self.warmup_lr,
                batch_size=self.warmup_batch_size,
                device=self.device,
            )
        )

    @torch.no_grad()
    def install(self, artefact: Artefact, source: SourceData) -> None:
        """Start student, teacher and restoration from the warmed-up adapters."""
        for name, value in artefact.items():
            assert isinstance(value, Tensor)
            for part in (self.model, self.teacher):
                part.get_parameter(name).copy_(value)
            self.restore.start[name].copy_(value)
