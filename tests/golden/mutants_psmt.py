"""Wrong versions of PSMT."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from mutant import Mutant, first_step_returned, keeping
from torch.nn import functional as F

from ctta.kernels.reference import quantile
from ctta.methods import psmt
from ctta.methods.psmt import PSMT
from ctta.parts.batch_norm import named_weights_and_biases
from ctta.parts.fisher_mask import FisherMask
from ctta.parts.losses import symmetric_cross_entropy
from ctta.parts.restore import ema_


class PlainMask(FisherMask):
    """The mask as it is at the beginning, used step by step."""

    def __init__(self, parameters, level):
        super().__init__(parameters, level)
        self.chosen = self.by_name()

    @torch.no_grad()
    def after_ema(self, teacher, student, start, decay, *, twice=False):
        ema_(teacher, student, decay)
        self.put_back(start)
        if twice:
            ema_(teacher, student, decay)
            for name, chosen in self.chosen.items():
                mine = teacher[name]
                mine.copy_(torch.where(chosen, self.parameters[name], mine))

    @torch.no_grad()
    def put_back(self, start):
        for name, chosen in self.chosen.items():
            own = self.parameters[name]
            own.copy_(torch.where(chosen, start[name], own))


class NotStrict(PlainMask):
    @property
    def flat(self):
        return self.squares <= self.threshold


class PerTensor(PlainMask):
    def __init__(self, parameters, level):
        self.level = level
        super().__init__(parameters, level)

    @property
    def flat(self):
        parts = torch.split(self.squares, [p.numel() for p in self.parameters.values()])
        return torch.cat([part < quantile(part, self.level) for part in parts])


class Largest(PlainMask):
    def __init__(self, parameters, level):
        super().__init__(parameters, 1 - level)

    @property
    def flat(self):
        return self.squares > self.threshold


class Unsquared(PlainMask):
    def __init__(self, parameters, level):
        self.level = level
        super().__init__(parameters, level)

    @property
    def flat(self):
        gradients = torch.cat([p.grad.reshape(-1) for p in self.parameters.values()])
        return gradients < quantile(gradients, self.level)


def with_mask(cls):
    return partial(mock.patch.object, psmt, "FisherMask", cls)


class Steps(PSMT):
    """PSMT's update in pieces, so that each can be put in a wrong place."""

    @torch.enable_grad()
    def adapt(self, x):
        logits, target = self.model(x), self.predict(x)
        trained = named_weights_and_biases(self.model)
        self.differentiate(logits, target)
        self.update(x, trained)
        return self.answer(x, logits.detach(), target)

    def differentiate(self, logits, target):
        self.optimizer.zero_grad()
        self.divergence(logits, target).backward()
        self.pull()

    def divergence(self, logits, target):
        return symmetric_cross_entropy(logits, target).mean()

    def update(self, x, trained):
        mask = PlainMask(trained, self.fisher_quantile)
        self.optimizer.step()
        self.move(mask)

    def answer(self, x, logits, target):
        return target + logits


class RestoredBeforeStep(Steps):
    def update(self, x, trained):
        self.move(PlainMask(trained, self.fisher_quantile))
        self.optimizer.step()


class MaskAfterStep(Steps):
    def update(self, x, trained):
        self.optimizer.step()
        self.differentiate(self.model(x), self.predict(x))
        self.move(PlainMask(trained, self.fisher_quantile))


class MaskWithoutPenalty(Steps):
    def update(self, x, trained):
        kept = {name: p.grad.clone() for name, p in trained.items()}
        with torch.no_grad():
            for name, p in trained.items():
                pull = 2 * self.fisher_weight * self.fisher[name] * (p - self.anchor[name])
                p.grad -= pull
        mask = PlainMask(trained, self.fisher_quantile)
        for name, p in trained.items():
            p.grad.copy_(kept[name])
        self.optimizer.step()
        self.move(mask)


class MomentsCleared(Steps):
    @torch.no_grad()
    def update(self, x, trained):
        mask = PlainMask(trained, self.fisher_quantile)
        self.optimizer.step()
        self.move(mask)
        for name, chosen in mask.chosen.items():
            for value in self.optimizer.state[trained[name]].values():
                if isinstance(value, torch.Tensor) and value.shape == chosen.shape:
                    value[chosen] = 0


class OneEma(Steps):
    @torch.no_grad()
    def move(self, mask):
        mask.put_back(self.anchor)
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        teacher, trained = map(named_weights_and_biases, (self.teacher, self.model))
        for name, chosen in mask.chosen.items():
            teacher[name].copy_(torch.where(chosen, trained[name], teacher[name]))


class TeacherNotRestored(Steps):
    def move(self, mask):
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        mask.put_back(self.anchor)
        ema_(self.teacher_weights, self.weights, self.ema_decay)


class StudentNotRestored(PSMT):
    @torch.no_grad()
    def move(self, mask):
        trained = named_weights_and_biases(self.model)
        kept = {name: p.clone() for name, p in trained.items()}
        super().move(mask)
        for name, p in trained.items():
            p.copy_(kept[name])


class OneDirection(Steps):
    def divergence(self, logits, target):
        return F.cross_entropy(logits, target.softmax(1))


class PenaltyAveraged(PSMT):
    def pull(self):
        weight = self.fisher_weight
        self.fisher_weight = weight / sum(p.numel() for p in self.trained.values())
        found = super().pull()
        self.fisher_weight = weight
        return found


class PenaltyHalved(PSMT):
    def pull(self):
        weight, self.fisher_weight = self.fisher_weight, self.fisher_weight / 2
        found = super().pull()
        self.fisher_weight = weight
        return found


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
