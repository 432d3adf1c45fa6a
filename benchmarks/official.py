"""Straight transcriptions of official forms, to be timed against.

CoTTA at c212a204 (the CIFAR variant), PETAL at ae61118. As there, updates go tensor by tensor,
masks are drawn on the host, a threshold comes from a sort, views are computed whether they are used
or not, and the anchor's forward records a graph for nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ctta.models.source import SourceModel
from ctta.parts.batch_norm import use_batch_statistics

View = Callable[[Tensor], Tensor]


@torch.no_grad()
def ema(teacher: Iterable[Tensor], student: Iterable[Tensor], decay: float) -> None:
    """``teacher <- decay teacher + (1 - decay) student``, out of place and copied back."""
    for mine, theirs in zip(teacher, student, strict=True):
        mine.data[:] = decay * mine[:].data[:] + (1 - decay) * theirs[:].data[:]


@torch.no_grad()
def restore(student: Iterable[Tensor], start: Iterable[Tensor], prob: float) -> None:
    """Masks of uniforms drawn on the host, applied as a sum of products."""
    for own, source in zip(student, start, strict=True):
        mask = (torch.rand(own.shape) < prob).float().to(own.device)
        own.data = source * mask + own * (1.0 - mask)


@torch.no_grad()
def fisher_restore(
    student: Iterable[Tensor], start: Iterable[Tensor], gradients: Iterable[Tensor], level: float
) -> None:
    """Elements whose squared gradient is below a quantile of all go back to their start."""
    squares = [gradient.clone().pow(2) for gradient in gradients]
    ordered = torch.cat([square.reshape(-1) for square in squares]).sort().values
    threshold = ordered[int(level * (len(ordered) - 1))]
    for own, source, square in zip(student, start, squares, strict=True):
        mask = (square < threshold).float()
        own.data = source * mask + own * (1.0 - mask)


class CoTTA:
    """The official step.

    Args:
        model: the source model.
        view: an augmented view of a batch.
        lr: of Adam.
        ema_decay: of the teacher.
        restore_prob: of each element of a weight or bias.
        n_views: always computed.
        unsure_below: the anchor's mean confidence below which their mean is the pseudo-label.
    """

    def __init__(
        self,
        model: SourceModel,
        view: View,
        *,
        lr: float,
        ema_decay: float,
        restore_prob: float,
        n_views: int,
        unsure_below: float,
    ) -> None:
        self.model = copy.deepcopy(model).train().requires_grad_(True)
        use_batch_statistics(self.model)
        self.anchor, self.teacher = copy.deepcopy(self.model), copy.deepcopy(self.model)
        self.teacher.requires_grad_(False)
        self.start = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        self.view, self.ema_decay, self.restore_prob = view, ema_decay, restore_prob
        self.n_views, self.unsure_below = n_views, unsure_below

    @torch.enable_grad()
    def __call__(self, x: Tensor) -> Tensor:
        outputs = self.model(x)
        confidence = self.anchor(x).softmax(1).max(1)[0]
        target = self.teacher(x)
        views = [self.teacher(self.view(x)).detach() for _ in range(self.n_views)]
        mean = torch.stack(views).mean(0)
        if confidence.mean(0) < self.unsure_below:
            target = mean
        loss = (-(target.softmax(1) * outputs.log_softmax(1)).sum(1)).mean(0)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        ema(self.teacher.parameters(), self.model.parameters(), self.ema_decay)
        restore(self.model.parameters(), self.start.values(), self.restore_prob)
        return target
