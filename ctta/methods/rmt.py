"""RMT: a mean teacher with symmetric cross entropy, contrast to prototypes, source replay."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctta.data.source import SourceData
from ctta.methods.base import Artefact, Method
from ctta.methods.state import load_state, read_state, save_state
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, flag, fraction, number
from ctta.parts.augment import Augmentation
from ctta.parts.batch_norm import named_weights_and_biases, use_batch_statistics
from ctta.parts.contrastive import contrastive_loss, make_projector
from ctta.parts.losses import symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer, rising
from ctta.parts.prototypes import class_means
from ctta.parts.restore import ema_
from ctta.parts.source_batches import SourceBatches
from ctta.seeding import derive

WARMED_UP = ("model", "teacher", "optimizer", "source_batches")


class RMT(Method):
    """Döbler, Marsden, Yang, "Robust Mean Teacher for Continual and Gradual Test-Time
    Adaptation", CVPR 2023, arXiv 2211.13081. Needs source data for the prototypes at least.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys, for student and projector.
        ema_decay: m of the teacher.
        target_weight: lambda_trg, of the symmetric cross entropy to the teacher.
        contrastive_weight: lambda_cont, of the contrast between prototype, view and augmented view.
        source_weight: lambda_src, of the cross entropy on replayed source images; 0: no replay.
        temperature: T of the contrast.
        projection_dim: width that features are projected to for it; None: they are not.
        warmup_steps: updates on source images before the stream, the learning rate rising to its
            value; 0: none.
        source_batch_size: source images a batch, everywhere.
        shuffle_source: take them in a new order each pass; false: in stored order.
        shared: see `Method`.

    Attributes:
        prototypes: mean source feature a class [K,D].
    """

    paper = "arXiv 2211.13081"
    version = 1
    uses_source_data = True
    artefact_depends_on = ("optimizer", "ema_decay", "warmup_steps", "source_batch_size",
                           "shuffle_source", "seed")  # fmt: skip
    survives_reset = ("source_batches",)
    # The prototypes never move, the rest is saved with the models.
    not_state = Method.not_state | {"prototypes", "directions", "weights", "teacher_weights"}

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        ema_decay: float,
        target_weight: float,
        contrastive_weight: float,
        source_weight: float,
        temperature: float,
        projection_dim: int | None,
        warmup_steps: int,
        source_batch_size: int,
        shuffle_source: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.ema_decay = fraction("ema_decay", ema_decay)
        self.target_weight = number("target_weight", target_weight, low=0)
        self.contrastive_weight = number("contrastive_weight", contrastive_weight, low=0)
        self.source_weight = number("source_weight", source_weight, low=0)
        self.temperature = number("temperature", temperature, low=1e-6)
        self.warmup_steps = count("warmup_steps", warmup_steps, low=0)
        self.source_batch_size = count("source_batch_size", source_batch_size)
        self.shuffle_source = flag("shuffle_source", shuffle_source)
        self.model.eval().requires_grad_(True)
        use_batch_statistics(self.model)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        self.weights = dict(self.model.named_parameters())
        self.teacher_weights = dict(self.teacher.named_parameters())
        width = self.model.n_features
        self.projector: nn.Module = nn.Identity()
        if projection_dim is not None:
            n_columns = count("projection_dim", projection_dim)
            self.projector = make_projector(width, n_columns, self.generator)
        self.projector.to(self.device, self.dtype)
        trained = named_weights_and_biases(self.model).values()
        groups = [{"params": [*trained]}, {"params": [*self.projector.parameters()]}]
        self.optimizer = make_optimizer(groups, optimizer)
        n_classes = self.model.card.n_classes
        self.prototypes = torch.zeros(n_classes, width, device=self.device, dtype=self.dtype)
        self.directions = self.prototypes.T  # of unit length from the preparation on
        self.source_batches: SourceBatches | None = None
        self.augment: Callable[[Tensor], Tensor] = Augmentation(self.generator)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        features, logits = self.model.features_and_logits(x)
        view_features, view_logits = self.model.features_and_logits(self.augment(x))
        target: Tensor = self.teacher(x)  # without gradients: none of its weights has one
        replay = self.replay() if self.source_weight > 0 else None
        distance = symmetric_cross_entropy(torch.stack([logits, view_logits]), target)
        contrast = self.contrast(features, view_features)
        loss = self.target_weight * distance.mean() + self.contrastive_weight * contrast
        if replay is not None:
            loss = loss + self.source_weight * replay
            self.observe("loss_ce_src", replay)
        self.update(loss)
        self.observe("loss", loss)
        if self.observers:
            self.observe("loss_sce_plain", distance[0].mean())
            self.observe("loss_sce_aug", distance[1].mean())
        self.observe("loss_contrastive", contrast)
        self.observe("student_logits", logits)
        self.observe("teacher_logits", target)
        return logits + target

    def contrast(self, features: Tensor, view_features: Tensor) -> Tensor:
        """Nearest prototype by angle, plain and augmented feature of each sample together."""
        nearest = (features.detach() @ self.directions).argmax(1)
        self.observe("nearest_prototype", nearest)
        views = torch.stack([self.prototypes.index_select(0, nearest), features, view_features], 1)
        return contrastive_loss(views, self.projector, self.temperature)

    def replay(self) -> Tensor:
        """Cross entropy on the next source batch, in a forward of its own."""
        assert self.source_batches is not None, "prepare comes first"
        x, y = self.source_batches.take()
        where = self.prototypes.device
        return F.cross_entropy(self.model(x.to(where)), y.to(where))

    def update(self, loss: Tensor) -> None:
        """One step of the student, and the teacher after it."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        ema_(self.teacher_weights, self.weights, self.ema_decay)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x) + self.teacher(x)
        return logits

    # --- before the stream ---------------------------------------------------------------------

    def artefact(self, source: SourceData) -> Artefact:
        made: Artefact = {"prototypes": class_means(self.model, self.endless(source), self.device)}
        worker = copy.deepcopy(self)
        made["warmup/loss"], made["warmup/lr"] = worker.warm_up(source)
        for name in WARMED_UP:
            save_state(getattr(worker, name), name, made)
        return made

    def install(self, artefact: Artefact, source: SourceData) -> None:
        prototypes = artefact["prototypes"]
        assert isinstance(prototypes, Tensor)
        self.prototypes = prototypes.to(self.prototypes)
        self.directions = F.normalize(self.prototypes).T
        self.source_batches = self.endless(source)
        for name in WARMED_UP:
            load_state(getattr(self, name), read_state(artefact, name))
        for name in ("warmup/loss", "warmup/lr"):
            value = artefact[name]
            assert isinstance(value, Tensor)
            self.observe(name, value)

    def endless(self, source: SourceData) -> SourceBatches:
        """Source batches from the first one on."""
        seed = derive(self.seed, "source batches") if self.shuffle_source else None
        return SourceBatches(source, self.source_batch_size, seed=seed)

    @torch.enable_grad()
    def warm_up(self, source: SourceData) -> tuple[Tensor, Tensor]:
        """Self-training on source images; the loss and the learning rate of each step."""
        self.source_batches = self.endless(source)
        losses, rates = [], []
        for _ in rising(self.optimizer, self.warmup_steps):
            x = self.source_batches.take()[0].to(self.device)
            with torch.no_grad():
                target = self.teacher(x)
            loss = symmetric_cross_entropy(self.model(x), target).mean()
            self.update(loss)
            losses.append(loss.item())
            rates.append(self.optimizer.param_groups[0]["lr"])
        return torch.tensor(losses, dtype=self.dtype), torch.tensor(rates, dtype=torch.float64)
