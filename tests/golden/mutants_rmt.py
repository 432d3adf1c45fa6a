"""Wrong versions of RMT."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from mutant import Mutant, first_step_returned, full_reset, keeping
from torch.nn import functional as F

from ctta.methods import rmt
from ctta.methods.rmt import RMT
from ctta.methods.state import save_state
from ctta.parts.contrastive import contrastive_loss
from ctta.parts.losses import soft_cross_entropy
from ctta.parts.prototypes import class_means


class AnswersTeacher(RMT):
    def adapt(self, x):
        target = self.teacher(x)
        super().adapt(x)
        return target


class AnswersAfterUpdate(RMT):
    def adapt(self, x):
        super().adapt(x)
        return self.predict(x)


class AnswersProbabilities(RMT):
    def adapt(self, x):
        with torch.no_grad():
            answer = self.model(x).softmax(1) + self.teacher(x).softmax(1)
        super().adapt(x)
        return answer


class OneForward(RMT):
    """Plain and augmented view in one batch, which batch norm mixes."""

    def adapt(self, x):
        ours = self.model.features_and_logits
        both = []

        def together(images):
            if not both:
                self.view = self.augment(images)
                features, logits = ours(torch.cat([images, self.view]))
                both.extend(zip(features.chunk(2), logits.chunk(2), strict=True))
            return both.pop(0)

        augment = self.augment
        with mock.patch.object(self.model, "features_and_logits", together):
            self.augment, self.view = augment, None
            try:
                return super().adapt(x)
            finally:
                del self.view


class ReplayNormalisedTogether(RMT):
    def adapt(self, x):
        self.batch = x
        try:
            return super().adapt(x)
        finally:
            del self.batch

    def replay(self):
        x, y = self.source_batches.take()
        return F.cross_entropy(self.model(torch.cat([self.batch, x]))[len(self.batch) :], y)


class TeacherSeesView(RMT):
    def adapt(self, x):
        teacher, self.teacher = self.teacher, None
        view = self.augment(x)
        wrong = mock.Mock(side_effect=lambda images: teacher(view))
        with mock.patch.object(rmt, "ema_", lambda *_: None):
            self.teacher = wrong
            logits = super().adapt(x)
        self.teacher = teacher
        rmt.ema_(self.teacher_weights, self.weights, self.ema_decay)
        return logits


class OptimizerMadeAnew(RMT):
    def artefact(self, source):
        found = super().artefact(source)
        fresh = {name: v for name, v in found.items() if not name.startswith("optimizer/")}
        save_state(self.optimizer, "optimizer", fresh)
        return fresh


class NoRamp(RMT):
    def warm_up(self, source):
        self.optimizer.register_step_pre_hook(self.full_rate)
        return super().warm_up(source)

    def full_rate(self, optimizer, args, kwargs):
        for group in optimizer.param_groups:
            group["lr"] = self.arguments["optimizer"]["lr"]


class RampFromZero(RMT):
    def warm_up(self, source):
        self.optimizer.register_step_pre_hook(self.one_less)
        return super().warm_up(source)

    def one_less(self, optimizer, args, kwargs):
        for group in optimizer.param_groups:
            group["lr"] -= self.arguments["optimizer"]["lr"] / self.warmup_steps


class NoTeacherInWarmUp(RMT):
    def warm_up(self, source):
        with mock.patch.object(rmt, "ema_", lambda *_: None):
            return super().warm_up(source)


class NoWarmUp(RMT):
    def __init__(self, model, *, warmup_steps, **rest):
        super().__init__(model, warmup_steps=0, **rest)


class PrototypesAfterWarmUp(RMT):
    def install(self, artefact, source):
        super().install(artefact, source)
        self.prototypes = class_means(self.model, self.endless(source), self.device)


class UnitPrototypes(RMT):
    def install(self, artefact, source):
        super().install(artefact, source)
        self.prototypes = F.normalize(self.prototypes)


class NearestByDistance(RMT):
    def contrast(self, features, view_features):
        nearest = torch.cdist(features.detach(), self.prototypes).argmin(1)
        views = torch.stack([self.prototypes[nearest], features, view_features], 1)
        self.observe("nearest_prototype", nearest)
        return contrastive_loss(views, self.projector, self.temperature)


class NearestToView(RMT):
    def contrast(self, features, view_features):
        wanted = F.normalize(view_features.detach()) @ F.normalize(self.prototypes).T
        self.observe("nearest_prototype", wanted.argmax(1))
        views = torch.stack([self.prototypes[wanted.argmax(1)], features, view_features], 1)
        return contrastive_loss(views, self.projector, self.temperature)


class ProjectedPrototypes(RMT):
    def contrast(self, features, view_features):
        with torch.no_grad():
            mine, theirs = self.projector(features), self.projector(self.prototypes)
            nearest = (F.normalize(mine) @ F.normalize(theirs).T).argmax(1)
        self.observe("nearest_prototype", nearest)
        views = torch.stack([self.prototypes[nearest], features, view_features], 1)
        return contrastive_loss(views, self.projector, self.temperature)


class ProjectorFrozen(RMT):
    def __init__(self, model, **rest):
        super().__init__(model, **rest)
        self.projector.requires_grad_(False)


class ViewDetached(RMT):
    def contrast(self, features, view_features):
        return super().contrast(features, view_features.detach())


def unprojected(features, projector, temperature):
    return contrastive_loss(features, torch.nn.Identity(), temperature)


def one_positive_less(features, projector, temperature):
    return contrastive_loss(features[:, :2], projector, temperature)


def without_positives(features, projector, temperature):
    """The softmax runs over the negatives and one positive at a time."""
    n_views = features.shape[1]
    z = F.normalize(projector(features.flatten(0, 1)))
    sample = torch.arange(len(z)) // n_views
    same = sample[:, None] == sample
    similarity = z @ z.T / temperature
    negatives = similarity.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
    positive = same & ~torch.eye(len(z), dtype=torch.bool)
    return -(similarity - torch.logaddexp(similarity, negatives))[positive].mean()


def contrast_of(function):
    return partial(mock.patch.object, rmt, "contrastive_loss", function)


class SourceRewound(RMT):
    reset = full_reset


class ReplayFromTheTop(RMT):
    def install(self, artefact, source):
        super().install(artefact, source)
        self.source_batches = self.endless(source)


MUTANTS = [
    Mutant("rmt", "teacher alone returned", AnswersTeacher),
    Mutant("rmt", "answer after the update", AnswersAfterUpdate),
    Mutant("rmt", "probabilities added", AnswersProbabilities),
    Mutant("rmt", "views in one batch", OneForward),
    Mutant("rmt", "source in the batch", ReplayNormalisedTogether),
    Mutant("rmt", "teacher sees the view", TeacherSeesView),
    Mutant(
        "rmt",
        "one direction of the loss",
        RMT,
        partial(mock.patch.object, rmt, "symmetric_cross_entropy", soft_cross_entropy),
    ),
    Mutant("rmt", "optimizer made anew after the warm-up", OptimizerMadeAnew),
    Mutant("rmt", "warm-up at the full rate", NoRamp),
    Mutant("rmt", "ramp begins at zero", RampFromZero),
    Mutant("rmt", "teacher still in the warm-up", NoTeacherInWarmUp),
    Mutant("rmt", "no warm-up", NoWarmUp),
    Mutant("rmt", "replay repeats the warm-up's batches", ReplayFromTheTop),
    Mutant("rmt", "source rewound by a reset", SourceRewound),
    Mutant("rmt", "prototypes of after the warm-up", PrototypesAfterWarmUp),
    Mutant("rmt", "prototypes of unit length", UnitPrototypes),
    Mutant("rmt", "nearest by distance", NearestByDistance),
    Mutant("rmt", "nearest to the augmented feature", NearestToView),
    Mutant("rmt", "nearest after projection", ProjectedPrototypes),
    Mutant("rmt", "projector not trained", ProjectorFrozen),
    Mutant("rmt", "augmented view detached", ViewDetached),
    Mutant("rmt", "contrast unprojected", RMT, contrast_of(unprojected)),
    Mutant("rmt", "contrast without the view", RMT, contrast_of(one_positive_less)),
    Mutant("rmt", "contrast without positives below", RMT, contrast_of(without_positives)),
    Mutant("rmt", "optimizer survives reset", keeping(RMT, "optimizer")),
    Mutant("rmt", "projector survives reset", keeping(RMT, "projector")),
    Mutant("rmt", "first step returned", first_step_returned(RMT)),
]
