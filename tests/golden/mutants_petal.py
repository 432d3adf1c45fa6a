"""Wrong versions of PETAL."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from mutant import Mutant, first_step_returned
from mutants_psmt import Largest, NotStrict, PerTensor, Unsquared

from ctta.methods import petal
from ctta.methods.petal import PETAL
from ctta.parts.batch_norm import named_weights_and_biases
from ctta.parts.fisher_mask import FisherMask
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
        loss = self.divergence(logits, target) + self.prior_weight * self.pull()
        self.optimizer.zero_grad()
        loss.backward()

    def mask(self, trained):
        return None if self.fisher_quantile is None else FisherMask(trained, self.fisher_quantile)

    def update(self, x, target, trained):
        mask = self.mask(trained)
        self.optimizer.step()
        ema_(self.teacher, self.model, self.ema_decay)
        self.put_back(trained, mask)

    def answer(self, x, logits, target):
        return target


class RestoredBeforeEma(Steps):
    def update(self, x, target, trained):
        mask = self.mask(trained)
        self.optimizer.step()
        self.put_back(trained, mask)
        ema_(self.teacher, self.model, self.ema_decay)


class RestoredBeforeStep(Steps):
    def update(self, x, target, trained):
        self.put_back(trained, self.mask(trained))
        self.optimizer.step()
        ema_(self.teacher, self.model, self.ema_decay)


class MaskAfterStep(Steps):
    def update(self, x, target, trained):
        self.optimizer.step()
        ema_(self.teacher, self.model, self.ema_decay)
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
            loss = self.divergence(logits[i : i + 1], target[i : i + 1])
            loss = loss + self.prior_weight * self.pull()
            found = torch.autograd.grad(loss, [*named.values()], retain_graph=True)
            for name, gradient in zip(named, found, strict=True):
                squares[name] += gradient.square() / len(logits)
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
    @torch.no_grad()
    def put_back(self, trained, mask):
        self.restore.start.update({name: self.prior_mean[name] for name in trained})
        super().put_back(trained, mask)


class TeacherRestored(PETAL):
    def put_back(self, trained, mask):
        super().put_back(trained, mask)
        super().put_back(named_weights_and_biases(self.teacher), mask)


class NothingRestored(PETAL):
    def put_back(self, trained, mask):
        pass


class AnswersStudent(Steps):
    def answer(self, x, logits, target):
        return logits


class AnswersAfterUpdate(Steps):
    def answer(self, x, logits, target):
        return self.predict(x)


class PullOfNormsOnly(PETAL):
    def pull(self):
        parts = [
            (
                (p - self.prior_mean[n]).square() / (self.prior_variance[n] + self.prior_damping)
            ).sum()
            for n, p in self.model.named_parameters()
            if p.ndim == 1
        ]
        return 0.5 * torch.stack(parts).sum()


class PullAveraged(PETAL):
    def pull(self):
        return super().pull() / sum(p.numel() for p in self.model.parameters())


class PullNotHalved(PETAL):
    def pull(self):
        return 2 * super().pull()


class VarianceClamped(PETAL):
    def pull(self):
        for value in self.prior_variance.values():
            value.clamp_(min=1e-30)
        return super().pull()


class DeviationForVariance(PETAL):
    def pull(self):
        variance = self.prior_variance
        self.prior_variance = {name: v.clamp(min=0).sqrt() for name, v in variance.items()}
        pull = super().pull()
        self.prior_variance = variance
        return pull


class Undamped(PETAL):
    def pull(self):
        damping, self.prior_damping = self.prior_damping, 1e-12
        pull = super().pull()
        self.prior_damping = damping
        return pull


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
