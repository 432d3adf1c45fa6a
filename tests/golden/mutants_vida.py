"""Wrong versions of ViDA.

Only the ImageNet file can judge them on every machine; see `harness.decided_by_rounding`.
"""

from __future__ import annotations

import torch
from mutant import Mutant, full_reset

from ctta.methods.vida import ViDA
from ctta.parts.adapters import other_parameters
from ctta.parts.restore import ema_


class Allots(ViDA):
    """ViDA with another measure of uncertainty, or another use of it."""

    def spread(self, views):
        return views.var(0).mean()

    def shares(self, u):
        return (1 + u, 1 - u) if u >= self.uncertainty_threshold else (1 - u, 1 + u)

    def views(self, x):
        return torch.stack([self.teacher(self.augment(x)) for _ in range(self.n_views)])

    @torch.no_grad()
    def allot(self, x):
        u = float(self.uncertainty_factor * self.spread(self.views(x)))
        high, low = self.shares(u)
        self.scales[:] = [low, high if self.scale_high_rank else 1.0]


class BiasedVariance(Allots):
    def spread(self, views):
        return views.var(0, unbiased=False).mean()


class OfProbabilities(Allots):
    def spread(self, views):
        return views.softmax(2).var(0).mean()


class Deviation(Allots):
    def spread(self, views):
        return views.std(0).mean()


class SharesExchanged(Allots):
    def shares(self, u):
        return super().shares(u)[::-1]


class FreshScales(Allots):
    def views(self, x):
        self.scales[:] = [1.0, 1.0]
        return super().views(x)


class HighRankToo(ViDA):
    def __init__(self, model, **rest):
        super().__init__(model, **{**rest, "scale_high_rank": True})


class OtherLoss(ViDA):
    def __init__(self, model, *, symmetric_loss, **rest):
        super().__init__(model, symmetric_loss=not symmetric_loss, **rest)


class OneRate(ViDA):
    def __init__(self, model, *, adapters_lr=None, **rest):
        super().__init__(model, **rest)


class OneDecay(ViDA):
    def __init__(self, model, *, adapter_ema_decay, ema_decay, **rest):
        super().__init__(model, adapter_ema_decay=ema_decay, ema_decay=ema_decay, **rest)


class AdaptersOnly(ViDA):
    def __init__(self, model, **rest):
        super().__init__(model, **rest)
        for parameter in other_parameters(self.model).values():
            parameter.requires_grad_(False)


class AnswersAfterUpdate(ViDA):
    def adapt(self, x):
        super().adapt(x)
        return self.predict(x)


class AnswersViews(ViDA):
    @torch.no_grad()
    def adapt(self, x):
        super().adapt(x)
        return torch.stack([self.teacher(self.augment(x)) for _ in range(self.n_views)]).mean(0)


class EmaTwice(ViDA):
    def adapt(self, x):
        target = super().adapt(x)
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        return target


class ScalesReset(ViDA):
    reset = full_reset


MUTANTS = [
    Mutant("vida", "biased variance", BiasedVariance),
    Mutant("vida", "variance of probabilities", OfProbabilities),
    Mutant("vida", "deviation for variance", Deviation),
    Mutant("vida", "shares exchanged", SharesExchanged),
    Mutant("vida", "views with fresh scales", FreshScales),
    Mutant("vida", "high rank scaled too", HighRankToo),
    Mutant("vida", "losses exchanged", OtherLoss),
    Mutant("vida", "one learning rate", OneRate),
    Mutant("vida", "one decay", OneDecay),
    Mutant("vida", "adapters only", AdaptersOnly),
    Mutant("vida", "answer after the update", AnswersAfterUpdate),
    Mutant("vida", "mean over views returned", AnswersViews),
    Mutant("vida", "teacher moved twice", EmaTwice),
    Mutant(
        "vida",
        "scales cleared by a reset",
        ScalesReset,
        survives="no public file resets",
    ),
]
