"""Deliberately wrong methods: each must turn at least one public golden file red.

Run as ``python tests/golden/mutants.py [DIR]``; exit status 1 if one that is not in SURVIVORS
is caught by nothing. DIR defaults to the public set, else to the slim one.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from harness import read_case, replay
from mutants_augment import AUGMENT_PATCHES
from torch import nn

from ctta.methods.base import Method
from ctta.methods.cotta import CoTTA
from ctta.methods.norm import Norm
from ctta.methods.tent import Tent
from ctta.parts import batch_norm
from ctta.parts.batch_norm import MixedBatchNorm2d, batch_norms, named_weights_and_biases
from ctta.parts.losses import entropy, soft_cross_entropy, symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.restore import ema_

Patch = Callable[[], AbstractContextManager[Any]]
HERE = Path(__file__).parent
SETS = (HERE.parents[2] / "shared" / "golden", HERE.parent / "golden_data")
# Mutants that the public files cannot tell from the method, with the reason.
SURVIVORS = {
    "cotta: threshold not strict": "needs a confidence that equals the threshold to the last bit",
}


@dataclass(frozen=True)
class Mutant:
    method: str
    fault: str
    cls: type[Method]
    patches: Patch = nullcontext


# --- CoTTA -------------------------------------------------------------------------------------


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
        ema_(self.teacher, self.model, self.ema_decay)
        self.restore(named_weights_and_biases(self.model))

    def answer(self, x, logits, target):
        return target


class EmaAfterRestore(Steps):
    def update(self, x):
        self.optimizer.step()
        self.restore(named_weights_and_biases(self.model))
        ema_(self.teacher, self.model, self.ema_decay)


class EmaBeforeStep(Steps):
    def update(self, x):
        ema_(self.teacher, self.model, self.ema_decay)
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
        ema_(self.teacher, self.model, self.ema_decay)
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
        ema_(self.teacher, self.model, self.ema_decay)


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


def keeping(base: type[Method], name: str) -> type[Method]:
    """``base`` whose reset leaves one attribute as it is."""

    class Keeps(base):
        def reset(self):
            kept = copy.deepcopy(getattr(self, name).state_dict())
            super().reset()
            getattr(self, name).load_state_dict(kept)

    return Keeps


def first_step_returned(base: type[Method]) -> type[Method]:
    class FirstStep(base):
        def __call__(self, x):
            if self.episodic:
                self.reset()
            first, *_ = [self.adapt(x).detach() for _ in range(self.steps)]
            return first

    return FirstStep


def never_episodic(base: type[Method]) -> type[Method]:
    class NeverEpisodic(base):
        def __call__(self, x):
            return [self.adapt(x).detach() for _ in range(self.steps)][-1]

    return NeverEpisodic


# --- TENT --------------------------------------------------------------------------------------


class TentLoss(Tent):
    """TENT with another loss, model or answer."""

    def loss(self, logits):
        return entropy(logits).mean()

    def answer(self, x, logits):
        return logits

    def adapt(self, x):
        with torch.enable_grad():
            logits = self.model(x)
            self.optimizer.zero_grad()
            self.loss(logits).backward()
        self.optimizer.step()
        return self.answer(x, logits.detach())


class EntropySummed(TentLoss):
    def loss(self, logits):
        return entropy(logits).sum()


class EntropyInBits(TentLoss):
    def loss(self, logits):
        return entropy(logits).mean() / torch.log(torch.tensor(2.0))


class EntropyOfMean(TentLoss):
    def loss(self, logits):
        p = logits.softmax(1).mean(0)
        return -(p * p.log()).sum()


class PredictsAfterUpdate(TentLoss):
    @torch.no_grad()
    def answer(self, x, logits):
        return self.model(x)


class TrainsEverything(Tent):
    def __init__(self, model, *, optimizer, **shared):
        super().__init__(model, optimizer=optimizer, **shared)
        self.model.requires_grad_(True)
        self.optimizer = make_optimizer(self.model.parameters(), optimizer)


class TrainsHeadToo(Tent):
    def __init__(self, model, *, optimizer, **shared):
        super().__init__(model, optimizer=optimizer, **shared)
        self.model.head.requires_grad_(True)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(trained, optimizer)


class NoNesterov(Tent):
    def __init__(self, model, *, optimizer, **shared):
        plain = {**optimizer, "nesterov": None, "dampening": None}
        super().__init__(model, optimizer=plain, **shared)


class RunningStatistics(Tent):
    """The stored statistics in place of the batch's."""

    def __init__(self, model, *, optimizer, **shared):
        with patch("ctta.methods.tent.use_batch_statistics", lambda model: None):
            super().__init__(model, optimizer=optimizer, **shared)


def detached_statistics(self, x):
    with torch.no_grad():
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
    return nn.functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)


class StatisticsDetached(Tent):
    def adapt(self, x):
        with patch.object(nn.BatchNorm2d, "forward", detached_statistics):
            return super().adapt(x)


# --- Norm --------------------------------------------------------------------------------------


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
    Mutant("cotta", "EMA after restore", EmaAfterRestore),
    Mutant("cotta", "EMA before the step", EmaBeforeStep),
    Mutant("cotta", "teacher restored too", TeacherRestored),
    Mutant("cotta", "optimizer moments cleared", MomentsCleared),
    Mutant("cotta", "biases not restored", BiasNotRestored),
    Mutant("cotta", "nothing restored", NotRestored),
    Mutant("cotta", "student's answer", AnswersStudent),
    Mutant("cotta", "answer after the update", AnswersAfterUpdate),
    Mutant("cotta", "threshold per image", ThresholdPerImage),
    Mutant("cotta", "threshold not strict", ThresholdNotStrict),
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
    Mutant("tent", "entropy summed", EntropySummed),
    Mutant("tent", "entropy in bits", EntropyInBits),
    Mutant("tent", "entropy of the mean", EntropyOfMean),
    Mutant("tent", "answer after the update", PredictsAfterUpdate),
    Mutant("tent", "everything trained", TrainsEverything),
    Mutant("tent", "head trained too", TrainsHeadToo),
    Mutant("tent", "no Nesterov", NoNesterov),
    Mutant("tent", "stored statistics", RunningStatistics),
    Mutant("tent", "statistics detached", StatisticsDetached),
    Mutant("tent", "optimizer survives reset", keeping(Tent, "optimizer")),
    Mutant("tent", "model survives reset", keeping(Tent, "model")),
    Mutant("tent", "first step returned", first_step_returned(Tent)),
    Mutant("tent", "never episodic", never_episodic(Tent)),
    Mutant("norm", "biased variance", Norm, mixed(unbiased=False)),
    Mutant("norm", "share exchanged", Norm, mixed(swapped=True)),
    Mutant("norm", "deviations mixed", Norm, mixed(deviations=True)),
    Mutant("norm", "source part moves", MixedRemembers),
    Mutant("norm", "training forward's answer", AnswersFirstForward),
    Mutant("norm", "statistics moved afterwards", UpdatesAfterwards),
    Mutant("norm", "momentum exchanged", MomentumSwapped),
    Mutant("norm", "stored statistics", UsesRunning),
]


def caught_by(mutant: Mutant, root: Path) -> str | None:
    """Name of the first file that the mutant fails, or None."""
    for file in sorted((root / mutant.method).glob("*.npz")):
        try:
            with mutant.patches():
                report = replay(read_case(file), mutant.cls)
        except AssertionError:
            return file.stem
        if report.failures:
            return file.stem
    return None


def main() -> int:
    """Print the table; 1 if a mutant that is not listed survives, or a listed one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = next(folder for folder in SETS if folder.is_dir())
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    root, wrong = parser.parse_args().folder, 0
    for mutant in MUTANTS:
        name, file = f"{mutant.method}: {mutant.fault}", caught_by(mutant, root)
        listed = SURVIVORS.get(name)
        wrong += (file is None) != (listed is not None)
        verdict = f"caught by {file}" if file else f"SURVIVES ({listed or 'not listed'})"
        print(f"{name:42} {verdict}")
    print(f"{len(MUTANTS)} mutants, {wrong} unexpected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
