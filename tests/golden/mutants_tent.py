"""Wrong versions of TENT."""

from __future__ import annotations

from unittest.mock import patch

import torch
from mutant import Mutant, first_step_returned, keeping, never_episodic
from torch import nn

from ctta.methods.tent import Tent
from ctta.parts.losses import entropy
from ctta.parts.optimizer import make_optimizer


class TentLoss(Tent):
    """TENT with another loss, model or answer."""

    def loss(self, logits):
        return entropy(logits).mean()

    def answer(self, x, logits):
        return logits

    def adapt(self, x):
        with torch.enable_grad():
            logits = self.model(x)
            self.optimizer.zero_grad()
            self.loss(logits).backward()
        self.optimizer.step()
        return self.answer(x, logits.detach())


class EntropySummed(TentLoss):
    def loss(self, logits):
        return entropy(logits).sum()


class EntropyInBits(TentLoss):
    def loss(self, logits):
        return entropy(logits).mean() / torch.log(torch.tensor(2.0))


class EntropyOfMean(TentLoss):
    def loss(self, logits):
        p = logits.softmax(1).mean(0)
        return -(p * p.log()).sum()


class PredictsAfterUpdate(TentLoss):
    @torch.no_grad()
    def answer(self, x, logits):
        return self.model(x)


class TrainsEverything(Tent):
    def __init__(self, model, *, optimizer, **shared):
        super().__init__(model, optimizer=optimizer, **shared)
        self.model.requires_grad_(True)
        self.optimizer = make_optimizer(self.model.parameters(), optimizer)


class TrainsHeadToo(Tent):
    def __init__(self, model, *, optimizer, **shared):
        super().__init__(model, optimizer=optimizer, **shared)
        self.model.head.requires_grad_(True)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(trained, optimizer)


class NoNesterov(Tent):
    def __init__(self, model, *, optimizer, **shared):
        plain = {**optimizer, "nesterov": None, "dampening": None}
        super().__init__(model, optimizer=plain, **shared)


class RunningStatistics(Tent):
    """The stored statistics in place of the batch's."""

    def __init__(self, model, *, optimizer, **shared):
        with patch("ctta.parts.batch_norm.use_batch_statistics", lambda model: None):
            super().__init__(model, optimizer=optimizer, **shared)


def detached_statistics(self, x):
    with torch.no_grad():
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
    return nn.functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)


class StatisticsDetached(Tent):
    def adapt(self, x):
        with patch.object(nn.BatchNorm2d, "forward", detached_statistics):
            return super().adapt(x)


MUTANTS = [
    Mutant("tent", "entropy summed", EntropySummed),
    Mutant("tent", "entropy in bits", EntropyInBits),
    Mutant("tent", "entropy of the mean", EntropyOfMean),
    Mutant("tent", "answer after the update", PredictsAfterUpdate),
    Mutant("tent", "everything trained", TrainsEverything),
    Mutant("tent", "head trained too", TrainsHeadToo),
    Mutant("tent", "no Nesterov", NoNesterov),
    Mutant("tent", "stored statistics", RunningStatistics),
    Mutant("tent", "statistics detached", StatisticsDetached),
    Mutant("tent", "optimizer survives reset", keeping(Tent, "optimizer")),
    Mutant("tent", "model survives reset", keeping(Tent, "model")),
    Mutant("tent", "first step returned", first_step_returned(Tent)),
    Mutant("tent", "never episodic", never_episodic(Tent)),
]
