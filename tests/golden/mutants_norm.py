"""Wrong versions of BN-1, BN-alpha and BN-EMA."""

from __future__ import annotations

from unittest.mock import patch

import torch
from mutant import Mutant
from torch import nn

from ctta.methods.norm import Norm
from ctta.parts import batch_norm
from ctta.parts.batch_norm import MixedBatchNorm2d, batch_norms


def mixed(unbiased: bool = True, swapped: bool = False, deviations: bool = False):
    """`MixedBatchNorm2d.forward` with something wrong."""

    def forward(self, x):
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=unbiased)
        share = 1 - self.batch_share if swapped else self.batch_share
        if deviations:
            both = (1 - share) * self.running_var.sqrt() + share * variance.sqrt()
            new = both.square()
        else:
            new = (1 - share) * self.running_var + share * variance
        old = (1 - share) * self.running_mean + share * mean
        return nn.functional.batch_norm(x, old, new, self.weight, self.bias, eps=self.eps)

    return lambda: patch.object(batch_norm.MixedBatchNorm2d, "forward", forward)


class MixedRemembers(Norm):
    def adapt(self, x):
        logits = super().adapt(x)
        if self.statistics == "mixed":
            for layer in batch_norms(self.model):
                assert isinstance(layer, MixedBatchNorm2d)
                layer.running_mean.mul_(0.99)
        return logits


class AnswersFirstForward(Norm):
    @torch.no_grad()
    def adapt(self, x):
        self.model.train(self.statistics == "updated" or self.model.training)
        return self.model(x) if self.statistics == "updated" else super().adapt(x)


class UpdatesAfterwards(Norm):
    @torch.no_grad()
    def adapt(self, x):
        if self.statistics != "updated":
            return super().adapt(x)
        logits = self.model(x)
        self.model.train()(x)
        self.model.eval()
        return logits


class MomentumSwapped(Norm):
    def __init__(self, model, *, bn_momentum=None, **rest):
        other = None if bn_momentum is None else 1 - bn_momentum
        super().__init__(model, bn_momentum=other, **rest)


class UsesRunning(Norm):
    def adapt(self, x):
        self.model.eval()
        return super().adapt(x)


MUTANTS = [
    Mutant("norm", "biased variance", Norm, mixed(unbiased=False)),
    Mutant("norm", "share exchanged", Norm, mixed(swapped=True)),
    Mutant("norm", "deviations mixed", Norm, mixed(deviations=True)),
    Mutant("norm", "source part moves", MixedRemembers),
    Mutant("norm", "training forward's answer", AnswersFirstForward),
    Mutant("norm", "statistics moved afterwards", UpdatesAfterwards),
    Mutant("norm", "momentum exchanged", MomentumSwapped),
    Mutant("norm", "stored statistics", UsesRunning),
]
