"""Wrong versions of PETAL."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from mutant import Mutant, first_step_returned
from mutants_psmt import Largest, NotStrict, PerTensor, PlainMask, Unsquared

from ctta.methods import petal
from ctta.methods.petal import PETAL
from ctta.parts.batch_norm import named_weights_and_biases
from ctta.parts.losses import soft_cross_entropy, symmetric_cross_entropy
from ctta.parts.restore import ema_


def with_mask(cls):
    return partial(mock.patch.object, petal, "FisherMask", cls)


class Steps(PETAL):
    """PETAL's update in pieces, so that each can be put in a wrong place."""

    @torch.enable_grad()
    def adapt(self, x):
        logits, target = self.model(x), self.pseudo_label(x)
        self.differentiate(logits, target)
        self.update(x, target, named_weights_and_biases(self.model))
        return self.answer(x, logits.detach(), target)

    def differentiate(self, logits, target):
        self.optimizer.zero_grad()
        self.divergence(logits, target).backward()
        self.pull()

    def mask(self, trained):
        return None if self.fisher_quantile is None else PlainMask(trained, self.fisher_quantile)

    def update(self, x, target, trained):
        mask = self.mask(trained)
        self.optimizer.step()
        self.move(mask)

    def put_back(self, trained, mask):
        if mask is None:
            self.restore(trained)
        else:
            mask.put_back(self.restore.start)

    def answer(self, x, logits, target):
        return target


class RestoredBeforeEma(Steps):
    def update(self, x, target, trained):
        mask = self.mask(trained)
        self.optimizer.step()
        self.put_back(trained, mask)
        ema_(self.teacher_weights, self.weights, self.ema_decay)


class RestoredBeforeStep(Steps):
    def update(self, x, target, trained):
        self.put_back(trained, self.mask(trained))
        self.optimizer.step()
        ema_(self.teacher_weights, self.weights, self.ema_decay)


class MaskAfterStep(Steps):
    def update(self, x, target, trained):
        self.optimizer.step()
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        self.differentiate(self.model(x), target)
        self.put_back(trained, self.mask(trained))


class MaskWithoutPrior(Steps):
    @torch.no_grad()
    def mask(self, trained):
        kept = {name: p.grad.clone() for name, p in trained.items()}
        for name, p in trained.items():
            spread = self.prior_variance[name] + self.prior_damping
            p.grad -= self.prior_weight * (p - self.prior_mean[name]) / spread
        mask = super().mask(trained)
        for name, p in trained.items():
            p.grad.copy_(kept[name])
        return mask


class MaskOfSingleImages(Steps):
    def differentiate(self, logits, target):
        """Mean of squares over images, beside the usual gradient."""
        named = named_weights_and_biases(self.model)
        squares = {name: torch.zeros_like(p) for name, p in named.items()}
        for i in range(len(logits)):
            self.optimizer.zero_grad()
            self.divergence(logits[i : i + 1], target[i : i + 1]).backward(retain_graph=True)
            self.pull()
            for name, p in named.items():
                squares[name] += p.grad.square() / len(logits)
        super().differentiate(logits, target)
        self.roots = {name: value.sqrt() for name, value in squares.items()}

    @torch.no_grad()
    def mask(self, trained):
        kept = {name: p.grad.clone() for name, p in trained.items()}
        for name, p in trained.items():
            p.grad.copy_(self.roots[name])
        mask = super().mask(trained)
        for name, p in trained.items():
            p.grad.copy_(kept[name])
        del self.roots
        return mask


class MomentsCleared(Steps):
    def update(self, x, target, trained):
        super().update(x, target, trained)
        self.optimizer.state.clear()


class RestoredToPriorMean(PETAL):
    def move(self, mask):
        start = self.restore.start
        self.restore.start = {name: self.prior_mean[name] for name in start}
        super().move(mask)
        self.restore.start = start


class TeacherRestored(Steps):
    def update(self, x, target, trained):
        mask = self.mask(trained)
        self.optimizer.step()
        self.move(mask)
        if mask is None:
            self.restore(named_weights_and_biases(self.teacher))
        else:
            mask.parameters = named_weights_and_biases(self.teacher)
            mask.put_back(self.restore.start)


class NothingRestored(PETAL):
    def move(self, mask):
        ema_(self.teacher_weights, self.weights, self.ema_decay)


class AnswersStudent(Steps):
    def answer(self, x, logits, target):
        return logits


class AnswersAfterUpdate(Steps):
    def answer(self, x, logits, target):
        return self.predict(x)


class PullOfNormsOnly(PETAL):
    def pull(self):
        for name, p in self.model.named_parameters():
            if p.ndim != 1:
                self.prior_mean[name].copy_(p.detach())
        return super().pull()


class PullAveraged(PETAL):
    def pull(self):
        weight = self.prior_weight
        self.prior_weight = weight / sum(p.numel() for p in self.model.parameters())
        found = super().pull()
        self.prior_weight = weight
        return found


class PullNotHalved(PETAL):
    def pull(self):
        weight, self.prior_weight = self.prior_weight, 2 * self.prior_weight
        found = super().pull()
        self.prior_weight = weight
        return found


class VarianceClamped(PETAL):
    def pull(self):
        for value in self.prior_variance.values():
            value.clamp_(min=1e-30)
        return super().pull()


class DeviationForVariance(PETAL):
    def pull(self):
        if self.precision is None:
            self.prior_variance = {n: v.clamp(min=0).sqrt() for n, v in self.prior_variance.items()}
        return super().pull()


class Undamped(PETAL):
    def pull(self):
        self.prior_damping = 1e-12
        return super().pull()


class PullToStart(PETAL):
    def pull(self):
        mean, self.prior_mean = self.prior_mean, self.restore.start
        pull = super().pull()
        self.prior_mean = mean
        return pull


class LossesExchanged(PETAL):
    def divergence(self, logits, target):
        wrong = soft_cross_entropy if self.symmetric_loss else symmetric_cross_entropy
        return wrong(logits, target).mean()


class AlwaysViews(PETAL):
    def __init__(self, model, *, unsure_below, **rest):
        super().__init__(model, unsure_below=2.0, **rest)


class NeverViews(PETAL):
    def __init__(self, model, *, unsure_below, **rest):
        super().__init__(model, unsure_below=0.0, **rest)


MUTANTS = [
    Mutant("petal", "mask not strict", PETAL, with_mask(NotStrict)),
    Mutant("petal", "quantile of each tensor", PETAL, with_mask(PerTensor)),
    Mutant("petal", "largest gradients restored", PETAL, with_mask(Largest)),
    Mutant("petal", "signed gradients", PETAL, with_mask(Unsquared)),
    Mutant("petal", "restored before the moving average", RestoredBeforeEma),
    Mutant("petal", "restored before the step", RestoredBeforeStep),
    Mutant("petal", "mask of after the step", MaskAfterStep),
    Mutant("petal", "mask without the prior", MaskWithoutPrior),
    Mutant("petal", "mask of single images", MaskOfSingleImages),
    Mutant("petal", "moments cleared", MomentsCleared),
    Mutant("petal", "restored to the posterior's mean", RestoredToPriorMean),
    Mutant("petal", "teacher restored too", TeacherRestored),
    Mutant("petal", "nothing restored", NothingRestored),
    Mutant("petal", "student returned", AnswersStudent),
    Mutant("petal", "answer after the update", AnswersAfterUpdate),
    Mutant("petal", "prior on vectors only", PullOfNormsOnly),
    Mutant("petal", "prior averaged", PullAveraged),
    Mutant("petal", "prior not halved", PullNotHalved),
    Mutant("petal", "variance clamped", VarianceClamped),
    Mutant("petal", "deviation for variance", DeviationForVariance),
    Mutant("petal", "no damping", Undamped),
    Mutant("petal", "pulled to the start", PullToStart),
    Mutant("petal", "losses exchanged", LossesExchanged),
    Mutant("petal", "views always", AlwaysViews),
    Mutant("petal", "views never", NeverViews),
    Mutant("petal", "first step returned", first_step_returned(PETAL)),
]
