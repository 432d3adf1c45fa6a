"""RoTTA: robust batch norm and a balanced memory, for streams whose classes come in runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, fraction, number
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import norm_affine, use_robust_statistics
from ctta.parts.category_memory import CategoryMemory
from ctta.parts.losses import entropy, soft_cross_entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.restore import ema_


class RoTTA(Method):
    """Yuan, Xie, Li, "Robust Test-Time Adaptation in Dynamic Scenarios", CVPR 2023.

    Every BatchNorm1d and BatchNorm2d becomes robust, and is trained as all normalisation layers.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        max_memory: N, samples in the memory.
        update_every: samples between two updates, also inside a batch.
        ema_decay: of the teacher, 1 - nu.
        bn_momentum: alpha; batch norm uses and keeps ``(1-alpha) stored + alpha batch``.
        age_weight: lambda_t of the memory's score.
        uncertainty_weight: lambda_u of the memory's score.
        shared: see `Method`.
    """

    paper = "arXiv 2303.13899"
    version = 1
    # Saved with the models.
    not_state = Method.not_state | {"trained", "averaged", "teacher_modules"}

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        max_memory: int,
        update_every: int,
        ema_decay: float,
        bn_momentum: float,
        age_weight: float,
        uncertainty_weight: float,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.update_every = count("update_every", update_every)
        self.ema_decay = fraction("ema_decay", ema_decay)
        use_robust_statistics(self.model, fraction("bn_momentum", bn_momentum))
        self.model.eval()
        self.trained = norm_affine(self.model)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        self.model.train()  # it does nothing but learn
        # All other weights are the student's, and so would their average be.
        self.averaged = {name: self.teacher.get_parameter(name) for name in self.trained}
        self.teacher_modules = [*self.teacher.modules()]
        self.optimizer = make_optimizer(self.trained.values(), optimizer)
        self.memory = CategoryMemory(
            count("max_memory", max_memory),
            self.model.card.n_classes,
            age_weight=number("age_weight", age_weight, low=0),
            uncertainty_weight=number("uncertainty_weight", uncertainty_weight, low=0),
        )
        self.n_seen = 0
        self.augment: Callable[[Tensor], Tensor] = Augmentation(self.generator)

    def adapt(self, x: Tensor) -> Tensor:
        logits = self.predict(x)
        labels = logits.argmax(1).tolist()
        uncertainties = entropy(logits, floor=1e-6).tolist()
        for image, label, uncertainty in zip(x, labels, uncertainties, strict=True):
            self.memory.add(image, label, uncertainty)
            self.n_seen += 1
            if self.n_seen % self.update_every == 0:
                self.update()
        self.memory.copy_images()
        return logits

    @torch.enable_grad()
    def update(self) -> None:
        """One step on the memory, weighted towards what came lately."""
        x = self.memory.images()
        weights = self.memory.age_weights().to(x)
        self.teacher_in_training(True)
        with torch.no_grad():
            target = self.teacher(x)
        loss = (weights * soft_cross_entropy(self.model(self.augment(x)), target)).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        ema_(self.averaged, self.trained, self.ema_decay)
        self.teacher_in_training(False)
        self.observe("loss", loss)

    def teacher_in_training(self, training: bool) -> None:
        """The teacher's mode, without a walk over the model."""
        for module in self.teacher_modules:
            module.training = training

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.teacher(x)
        return logits
