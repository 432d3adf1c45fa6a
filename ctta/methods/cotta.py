"""CoTTA: weight-averaged and augmentation-averaged pseudo-labels, stochastic restoration."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, flag, fraction, number
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import named_weights_and_biases, use_batch_statistics, without_dropout
from ctta.parts.losses import soft_cross_entropy, symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.restore import RandomRestore
from ctta.parts.views import answers_to_views


class CoTTA(Method):
    """Wang et al., "Continual Test-Time Domain Adaptation", CVPR 2022, arXiv 2203.13591.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        ema_decay: m in [0, 1]; teacher <- m teacher + (1-m) student.
        n_views: augmented views that are averaged when the anchor is unsure.
        unsure_below: p_th; the mean confidence of the anchor over the batch under which the mean
            over views is the target.
        restore_prob: p in [0, 1]; share of elements put back to the source after each update.
        symmetric_loss: false as in the CIFAR code, true as in the ImageNet code.
        shared: see `Method`.
    """

    paper = "arXiv 2203.13591"
    version = 3  # 1 rounded the moving average twice, 2 drew its masks from a generator
    # Saved with the models.
    not_state = Method.not_state | {"trained", "weights", "teacher_weights"}

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        ema_decay: float,
        n_views: int,
        unsure_below: float,
        restore_prob: float,
        symmetric_loss: bool,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.ema_decay = fraction("ema_decay", ema_decay)
        self.n_views = count("n_views", n_views)
        self.unsure_below = number("unsure_below", unsure_below)
        self.symmetric_loss = flag("symmetric_loss", symmetric_loss)
        self.model.train().requires_grad_(True)
        use_batch_statistics(self.model)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        self.anchor = copy.deepcopy(self.teacher)
        self.trained = named_weights_and_biases(self.model)
        self.weights = dict(self.model.named_parameters())
        self.teacher_weights = dict(self.teacher.named_parameters())
        self.optimizer = make_optimizer(self.trained.values(), optimizer)
        self.restore = RandomRestore(self.trained, prob=restore_prob, seed=self.seed)
        self.augment: Callable[[Tensor], Tensor] = Augmentation(self.generator)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        target = self.pseudo_label(x)
        loss = self.divergence(logits, target)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.restore.after_ema(self.teacher_weights, self.weights, self.ema_decay)
        self.observe("student_logits", logits)
        self.observe("loss", loss)
        return target

    @torch.no_grad()
    def pseudo_label(self, x: Tensor) -> Tensor:
        """Teacher logits [B,K]: of the plain batch, or their mean over views if unsure."""
        confidence = self.anchor(x).softmax(1).amax(1).mean()
        self.observe("anchor_conf", confidence)
        if confidence < self.unsure_below:
            return answers_to_views(self.teacher, self.augment, x, self.n_views).mean(0)
        plain: Tensor = self.teacher(x)
        return plain

    def divergence(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss: cross entropy from teacher to student, or the mean of both directions."""
        if self.symmetric_loss:
            return symmetric_cross_entropy(logits, target).mean()
        return soft_cross_entropy(logits, target).mean()

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        with without_dropout(self.teacher):  # batch norm uses the batch in either mode
            logits: Tensor = self.teacher(x)
        return logits
