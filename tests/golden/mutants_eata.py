"""Wrong versions of ETA, EATA and RDumb."""

from __future__ import annotations

from unittest.mock import patch

import torch
from mutant import Mutant, keeping

from ctta.methods import eta
from ctta.methods.eata import EATA
from ctta.methods.rdumb import RDumb
from ctta.parts.selection import mean_over


class MeanOverBatch(EATA):
    def adapt(self, x):
        def over_all(values, kept):
            return values[kept].sum() / len(values)

        with patch.object(eta, "mean_over", over_all):
            return super().adapt(x)


class WeightLearns(EATA):
    def adapt(self, x):
        def with_gradient(values, kept):
            return mean_over(values, kept) * 2

        with patch.object(eta, "mean_over", with_gradient):
            return super().adapt(x)


class AllMove(EATA):
    """The running mean takes every sample."""

    def select(self, probs, entropies):
        before = self.model_probs
        kept = super().select(probs, entropies)
        if kept.any():
            mean, decay = probs.mean(0), self.prob_ema_decay
            self.model_probs = mean if before is None else decay * before + (1 - decay) * mean
        return kept


class NoRedundancy(EATA):
    def select(self, probs, entropies):
        self.redundancy_margin = 2.0
        return super().select(probs, entropies)


class MeanForgotten(EATA):
    def select(self, probs, entropies):
        self.model_probs = None
        return super().select(probs, entropies)


class LooseMargin(EATA):
    def __init__(self, model, *, entropy_margin, **rest):
        super().__init__(model, entropy_margin=2 * entropy_margin, **rest)


class NoAnchor(EATA):
    def penalty(self):
        return 0.0


class AnchorFollows(EATA):
    def adapt(self, x):
        logits = super().adapt(x)
        for name, p in self.trained.items():
            self.anchor[name].copy_(p.detach())
        return logits


class AnswersAfterUpdate(EATA):
    def adapt(self, x):
        super().adapt(x)
        return self.predict(x)


class NeverResets(RDumb):
    def __init__(self, model, *, reset_every, **rest):
        super().__init__(model, reset_every=10**9, **rest)


class ResetsEarly(RDumb):
    def adapt(self, x):
        if (self.n_updates + 1) % self.reset_every == 0:
            self.reset()
        self.n_updates += 1
        return super(RDumb, self).adapt(x)


class CountStartsAgain(RDumb):
    def reset(self):
        super().reset()
        self.n_updates = 1


class CountsBatches(RDumb):
    def __call__(self, x):
        every, self.reset_every = self.reset_every, 10**9
        logits = super().__call__(x)
        self.reset_every = every
        if self.n_updates // self.steps % every == 0:
            self.reset()
        return logits


@torch.no_grad()
def sample_fisher(model, parameters, batches):
    """Squared gradients of single samples in place of those of the mean."""
    from ctta.parts.fisher import source_fisher

    singles = (x[i : i + 1] for x in batches for i in range(len(x)))
    return source_fisher(model, parameters, singles)


MUTANTS = [
    Mutant("eata", "mean over the batch", MeanOverBatch),
    Mutant("eata", "loss doubled", WeightLearns),
    Mutant("eata", "every sample in the mean", AllMove),
    Mutant("eata", "redundant samples kept", NoRedundancy),
    Mutant("eata", "mean forgotten", MeanForgotten),
    Mutant("eata", "margin doubled", LooseMargin),
    Mutant("eata", "no anchor", NoAnchor),
    Mutant("eata", "anchor follows", AnchorFollows),
    Mutant("eata", "answer after the update", AnswersAfterUpdate),
    Mutant(
        "eata",
        "Fisher of single samples",
        EATA,
        lambda: patch("ctta.methods.eata.source_fisher", sample_fisher),
    ),
    Mutant("rdumb", "never resets", NeverResets),
    Mutant("rdumb", "resets before the update", ResetsEarly),
    Mutant("rdumb", "count starts again", CountStartsAgain),
    Mutant("rdumb", "counts batches", CountsBatches),
    Mutant("rdumb", "optimizer survives", keeping(RDumb, "optimizer")),
]
