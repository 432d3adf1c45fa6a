"""Wrong versions of ROID and CMF."""

from __future__ import annotations

from unittest.mock import patch

from mutant import Mutant, full_reset

from ctta.kernels import ema_
from ctta.methods import likelihood_ratio
from ctta.methods.cmf import CMF
from ctta.methods.roid import ROID
from ctta.parts.losses import soft_cross_entropy, soft_likelihood_ratio, symmetric_cross_entropy


def replaced(name, function):
    """A patch of one piece of the shared part."""
    return lambda: patch.object(likelihood_ratio, name, function)


class ActualBatch(ROID):
    def adapt(self, x):
        self.nominal_batch_size = len(x)
        return super().adapt(x)


class AllKept(ROID):
    def weights(self, logits, probs):
        weights, kept = super().weights(logits, probs)
        return weights, kept | True


class MeanMovesFirst(ROID):
    def weights(self, logits, probs):
        kept = self.class_probs_ema
        decay = self.prob_ema_decay
        self.class_probs_ema = decay * kept + (1 - decay) * probs.mean(0)
        found = super().weights(logits, probs)
        self.class_probs_ema = kept
        return found


class NotHeld(ROID):
    def hold(self):
        pass


class HeldTwice(ROID):
    def hold(self):
        super().hold()
        super().hold()


class VarianceReset(CMF):
    reset = full_reset


class HiddenStays(CMF):
    def hold(self):
        kept = {name: value.clone() for name, value in self.hidden.items()}
        super().hold()
        self.hidden = kept


class StudentNotHeld(CMF):
    def hold(self):
        kept = [p.detach().clone() for p in self.trained.values()]
        super().hold()
        for p, value in zip(self.trained.values(), kept, strict=True):
            p.data.copy_(value)


class NoFloor(CMF):
    def hold(self):
        with patch("ctta.methods.cmf.LEAST_GAIN", 0.0):
            super().hold()


class HiddenNotPulled(CMF):
    def hold(self):
        decay, self.hidden_decay = self.hidden_decay, 1.0
        super().hold()
        self.hidden_decay = decay
        ema_(self.hidden.values(), self.anchor.values(), 1.0)


MUTANTS = [
    Mutant("roid", "divided by the actual batch", ActualBatch),
    Mutant("roid", "everything kept", AllKept),
    Mutant("roid", "mean moves first", MeanMovesFirst),
    Mutant("roid", "not held", NotHeld),
    Mutant("roid", "held twice", HeldTwice),
    Mutant(
        "roid",
        "target detached",
        ROID,
        replaced(
            "symmetric_cross_entropy",
            lambda views, logits: symmetric_cross_entropy(views, logits.detach()),
        ),
    ),
    Mutant(
        "roid",
        "one-sided consistency",
        ROID,
        replaced("symmetric_cross_entropy", soft_cross_entropy),
    ),
    Mutant(
        "roid",
        "ratio without its floor",
        ROID,
        replaced("soft_likelihood_ratio", lambda logits: soft_likelihood_ratio(logits * 1.001)),
    ),
    Mutant("roid", "prior not smoothed", ROID, replaced("smoothed_prior", lambda prior, _: prior)),
    Mutant("cmf", "variance reset", VarianceReset),
    Mutant("cmf", "hidden model stays", HiddenStays),
    Mutant("cmf", "student not held", StudentNotHeld),
    Mutant("cmf", "gain without floor", NoFloor),
    Mutant("cmf", "hidden model not pulled back", HiddenNotPulled),
]
