"""Wrong versions of PSMT."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from mutant import Mutant, first_step_returned, keeping
from torch.nn import functional as F

from ctta.methods import psmt
from ctta.methods.psmt import PSMT
from ctta.parts.batch_norm import named_weights_and_biases
from ctta.parts.fisher_mask import FisherMask, quantile
from ctta.parts.losses import symmetric_cross_entropy
from ctta.parts.restore import ema_


class NotStrict(FisherMask):
    def __init__(self, parameters, level):
        super().__init__(parameters, level)
        self.flat = self.squares <= self.threshold


class PerTensor(FisherMask):
    def __init__(self, parameters, level):
        super().__init__(parameters, level)
        sizes = [p.numel() for p in parameters.values()]
        parts = torch.split(self.squares, sizes)
        self.flat = torch.cat([part < quantile(part, level) for part in parts])


class Largest(FisherMask):
    def __init__(self, parameters, level):
        super().__init__(parameters, 1 - level)
        self.flat = self.squares > self.threshold


class Unsquared(FisherMask):
    def __init__(self, parameters, level):
        super().__init__(parameters, level)
        gradients = torch.cat([p.grad.reshape(-1) for p in parameters.values()])
        self.flat = gradients < quantile(gradients, level)


def with_mask(cls):
    return partial(mock.patch.object, psmt, "FisherMask", cls)


class Steps(PSMT):
    """PSMT's update in pieces, so that each can be put in a wrong place."""

    @torch.enable_grad()
    def adapt(self, x):
        logits, target = self.model(x), self.predict(x)
        trained = named_weights_and_biases(self.model)
        loss = self.loss(x, logits, target, trained)
        self.optimizer.zero_grad()
        loss.backward()
        self.update(x, trained)
        return self.answer(x, logits.detach(), target)

    def loss(self, x, logits, target, trained):
        return symmetric_cross_entropy(logits, target).mean() + self.penalty(trained)

    def update(self, x, trained):
        mask = FisherMask(trained, self.fisher_quantile)
        self.optimizer.step()
        self.restore_both(trained, mask)

    def answer(self, x, logits, target):
        return target + logits


class RestoredBeforeStep(Steps):
    def update(self, x, trained):
        self.restore_both(trained, FisherMask(trained, self.fisher_quantile))
        self.optimizer.step()


class MaskAfterStep(Steps):
    def update(self, x, trained):
        self.optimizer.step()
        again = self.loss(x, self.model(x), self.predict(x), trained)
        self.optimizer.zero_grad()
        again.backward()
        self.restore_both(trained, FisherMask(trained, self.fisher_quantile))


class MaskWithoutPenalty(Steps):
    def update(self, x, trained):
        kept = {name: p.grad.clone() for name, p in trained.items()}
        with torch.no_grad():
            for name, p in trained.items():
                pull = 2 * self.fisher_weight * self.fisher[name] * (p - self.anchor[name])
                p.grad -= pull
        mask = FisherMask(trained, self.fisher_quantile)
        for name, p in trained.items():
            p.grad.copy_(kept[name])
        self.optimizer.step()
        self.restore_both(trained, mask)


class MomentsCleared(Steps):
    @torch.no_grad()
    def update(self, x, trained):
        mask = FisherMask(trained, self.fisher_quantile)
        self.optimizer.step()
        self.restore_both(trained, mask)
        for name, chosen in mask.by_name().items():
            for value in self.optimizer.state[trained[name]].values():
                if isinstance(value, torch.Tensor) and value.shape == chosen.shape:
                    value[chosen] = 0


class OneEma(PSMT):
    @torch.no_grad()
    def restore_both(self, trained, mask):
        teacher = named_weights_and_biases(self.teacher)
        for name, chosen in mask.by_name().items():
            trained[name].copy_(torch.where(chosen, self.anchor[name], trained[name]))
        ema_(self.teacher, self.model, self.ema_decay)
        for name, chosen in mask.by_name().items():
            teacher[name].copy_(torch.where(chosen, trained[name], teacher[name]))


class TeacherNotRestored(PSMT):
    @torch.no_grad()
    def restore_both(self, trained, mask):
        ema_(self.teacher, self.model, self.ema_decay)
        for name, chosen in mask.by_name().items():
            trained[name].copy_(torch.where(chosen, self.anchor[name], trained[name]))
        ema_(self.teacher, self.model, self.ema_decay)


class StudentNotRestored(PSMT):
    @torch.no_grad()
    def restore_both(self, trained, mask):
        kept = {name: p.clone() for name, p in trained.items()}
        super().restore_both(trained, mask)
        for name, p in trained.items():
            p.copy_(kept[name])


class OneDirection(Steps):
    def loss(self, x, logits, target, trained):
        return F.cross_entropy(logits, target.softmax(1)) + self.penalty(trained)


class PenaltyAveraged(PSMT):
    def penalty(self, trained):
        return super().penalty(trained) / sum(p.numel() for p in trained.values())


class PenaltyHalved(PSMT):
    def penalty(self, trained):
        return super().penalty(trained) / 2


class AnswersTeacher(Steps):
    def answer(self, x, logits, target):
        return target


class AnswersProbabilities(Steps):
    def answer(self, x, logits, target):
        return target.softmax(1) + logits.softmax(1)


class AnswersAfterUpdate(Steps):
    @torch.no_grad()
    def answer(self, x, logits, target):
        return self.predict(x) + self.model(x)


class FisherPerSample(PSMT):
    def artefact(self, source):
        size = self.source_batch_size
        self.source_batch_size = 1
        found = super().artefact(source)
        self.source_batch_size = size
        return found


class FisherOfSoftLabels(PSMT):
    @torch.enable_grad()
    def artefact(self, source):
        named = named_weights_and_biases(self.model)
        squares = {name: [] for name in named}
        for x, _ in source.batches(self.source_batch_size):
            logits = self.model(x)
            loss = symmetric_cross_entropy(logits, logits.detach()).mean()  # soft, not arg-max
            for name, g in zip(named, torch.autograd.grad(loss, [*named.values()]), strict=True):
                squares[name].append(g.square())
        return {name: torch.stack(values).mean(0) for name, values in squares.items()}


class FisherRoot(PSMT):
    def artefact(self, source):
        return {name: value.sqrt() for name, value in super().artefact(source).items()}


MUTANTS = [
    Mutant("psmt", "mask not strict", PSMT, with_mask(NotStrict)),
    Mutant("psmt", "quantile of each tensor", PSMT, with_mask(PerTensor)),
    Mutant("psmt", "largest gradients restored", PSMT, with_mask(Largest)),
    Mutant("psmt", "signed gradients", PSMT, with_mask(Unsquared)),
    Mutant("psmt", "restored before the step", RestoredBeforeStep),
    Mutant("psmt", "mask of after the step", MaskAfterStep),
    Mutant("psmt", "mask without the penalty", MaskWithoutPenalty),
    Mutant("psmt", "moments of restored weights cleared", MomentsCleared),
    Mutant("psmt", "teacher moved once", OneEma),
    Mutant("psmt", "teacher not restored", TeacherNotRestored),
    Mutant("psmt", "student not restored", StudentNotRestored),
    Mutant("psmt", "one direction of the loss", OneDirection),
    Mutant("psmt", "penalty averaged", PenaltyAveraged),
    Mutant("psmt", "penalty halved", PenaltyHalved),
    Mutant("psmt", "teacher alone returned", AnswersTeacher),
    Mutant("psmt", "probabilities added", AnswersProbabilities),
    Mutant("psmt", "answer after the update", AnswersAfterUpdate),
    Mutant("psmt", "Fisher of single images", FisherPerSample),
    Mutant("psmt", "Fisher with soft labels", FisherOfSoftLabels),
    Mutant("psmt", "Fisher not squared", FisherRoot),
    Mutant("psmt", "optimizer survives reset", keeping(PSMT, "optimizer")),
    Mutant("psmt", "teacher survives reset", keeping(PSMT, "teacher")),
    Mutant("psmt", "first step returned", first_step_returned(PSMT)),
]
