"""Wrong versions of CoTTA."""

from __future__ import annotations

import torch
from mutant import Mutant, first_step_returned, keeping, never_episodic
from mutants_augment import AUGMENT_PATCHES

from ctta.methods.cotta import CoTTA
from ctta.parts.batch_norm import named_weights_and_biases
from ctta.parts.losses import soft_cross_entropy, symmetric_cross_entropy
from ctta.parts.restore import ema_


class Steps(CoTTA):
    """CoTTA's update in pieces, so that each can be put in a wrong place."""

    def adapt(self, x):
        with torch.enable_grad():
            logits, target = self.model(x), self.pseudo_label(x)
            loss = self.divergence(logits, target)
            self.optimizer.zero_grad()
            loss.backward()
        self.update(x)
        return self.answer(x, logits.detach(), target)

    def update(self, x):
        self.optimizer.step()
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        self.restore(named_weights_and_biases(self.model))

    def answer(self, x, logits, target):
        return target


class EmaAfterRestore(Steps):
    def update(self, x):
        self.optimizer.step()
        self.restore(named_weights_and_biases(self.model))
        ema_(self.teacher_weights, self.weights, self.ema_decay)


class EmaBeforeStep(Steps):
    def update(self, x):
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        self.optimizer.step()
        self.restore(named_weights_and_biases(self.model))


class TeacherRestored(Steps):
    def update(self, x):
        super().update(x)
        self.restore(named_weights_and_biases(self.teacher))


class MomentsCleared(Steps):
    def update(self, x):
        super().update(x)
        self.optimizer.state.clear()


class BiasNotRestored(Steps):
    def update(self, x):
        self.optimizer.step()
        ema_(self.teacher_weights, self.weights, self.ema_decay)
        biases = {n: p.clone() for n, p in self.model.named_parameters() if n.endswith("bias")}
        self.restore(named_weights_and_biases(self.model))
        with torch.no_grad():
            for name, value in biases.items():
                self.model.get_parameter(name).copy_(value)


class AnswersStudent(Steps):
    def answer(self, x, logits, target):
        return logits


class AnswersAfterUpdate(Steps):
    @torch.no_grad()
    def answer(self, x, logits, target):
        return self.teacher(x)


class NotRestored(Steps):
    def update(self, x):
        self.optimizer.step()
        ema_(self.teacher_weights, self.weights, self.ema_decay)


class ThresholdPerImage(CoTTA):
    @torch.no_grad()
    def pseudo_label(self, x):
        unsure = self.anchor(x).softmax(1).amax(1) < self.unsure_below
        views = torch.stack([self.teacher(self.augment(x)) for _ in range(self.n_views)]).mean(0)
        return torch.where(unsure[:, None], views, self.teacher(x))


class ThresholdNotStrict(CoTTA):
    @torch.no_grad()
    def pseudo_label(self, x):
        if self.anchor(x).softmax(1).amax(1).mean() > self.unsure_below:
            return self.teacher(x)
        views = [self.teacher(self.augment(x)) for _ in range(self.n_views)]
        return torch.stack(views).mean(0)


class ProbabilitiesAveraged(CoTTA):
    @torch.no_grad()
    def pseudo_label(self, x):
        if self.anchor(x).softmax(1).amax(1).mean() >= self.unsure_below:
            return self.teacher(x)
        views = [self.teacher(self.augment(x)).softmax(1) for _ in range(self.n_views)]
        return torch.stack(views).mean(0).log()


class PlainMixedIn(CoTTA):
    @torch.no_grad()
    def pseudo_label(self, x):
        target = super().pseudo_label(x)
        plain = self.teacher(x)
        return (self.n_views * target + plain) / (self.n_views + 1)


class AnchorFollowsStudent(CoTTA):
    def pseudo_label(self, x):
        self.anchor.load_state_dict(self.model.state_dict())
        return super().pseudo_label(x)


class AnchorIsTeacher(CoTTA):
    def pseudo_label(self, x):
        self.anchor.load_state_dict(self.teacher.state_dict())
        return super().pseudo_label(x)


class OtherLoss(CoTTA):
    def divergence(self, logits, target):
        other = soft_cross_entropy if self.symmetric_loss else symmetric_cross_entropy
        return other(logits, target).mean()


class LossSummed(CoTTA):
    def divergence(self, logits, target):
        return super().divergence(logits, target) * len(logits)


class SymmetricNotHalved(CoTTA):
    def divergence(self, logits, target):
        return super().divergence(logits, target) * (2 if self.symmetric_loss else 1)


class TargetNotDetached(CoTTA):
    def pseudo_label(self, x):
        target = super().pseudo_label(x)
        return target / 2 + self.model(x) / 2 - (self.model(x) / 2).detach()


MUTANTS = [
    Mutant("cotta", "EMA after restore", EmaAfterRestore),
    Mutant("cotta", "EMA before the step", EmaBeforeStep),
    Mutant("cotta", "teacher restored too", TeacherRestored),
    Mutant("cotta", "optimizer moments cleared", MomentsCleared),
    Mutant("cotta", "biases not restored", BiasNotRestored),
    Mutant("cotta", "nothing restored", NotRestored),
    Mutant("cotta", "student's answer", AnswersStudent),
    Mutant("cotta", "answer after the update", AnswersAfterUpdate),
    Mutant("cotta", "threshold per image", ThresholdPerImage),
    Mutant(
        "cotta",
        "threshold not strict",
        ThresholdNotStrict,
        survives="needs a confidence that equals the threshold to the last bit",
    ),
    Mutant("cotta", "probabilities averaged", ProbabilitiesAveraged),
    Mutant("cotta", "plain output mixed in", PlainMixedIn),
    Mutant("cotta", "anchor follows student", AnchorFollowsStudent),
    Mutant("cotta", "teacher as anchor", AnchorIsTeacher),
    Mutant("cotta", "losses exchanged", OtherLoss),
    Mutant("cotta", "loss summed", LossSummed),
    Mutant("cotta", "symmetric loss not halved", SymmetricNotHalved),
    Mutant("cotta", "gradient through the target", TargetNotDetached),
    Mutant("cotta", "optimizer survives reset", keeping(CoTTA, "optimizer")),
    Mutant("cotta", "teacher survives reset", keeping(CoTTA, "teacher")),
    Mutant("cotta", "first step returned", first_step_returned(CoTTA)),
    Mutant("cotta", "never episodic", never_episodic(CoTTA)),
    *[Mutant("cotta", fault, CoTTA, patches) for fault, patches in AUGMENT_PATCHES.items()],
]
