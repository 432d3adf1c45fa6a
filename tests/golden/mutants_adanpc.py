"""Wrong versions of AdaNPC."""

from __future__ import annotations

from unittest.mock import patch

import torch
from mutant import Mutant, keeping
from torch.nn import functional as F

from ctta.methods.adanpc import AdaNPC
from ctta.parts.memory import FeatureMemory


class FilterOnVote(AdaNPC):
    def __init__(self, model, *, confidence, **rest):
        super().__init__(model, confidence="vote", **rest)


class NoFirstRow(AdaNPC):
    def first_row(self):
        rows, labels = super().first_row()
        return rows[:0], labels[:0]


class StoresFirst(AdaNPC):
    @torch.no_grad()
    def update(self, features):
        query = F.normalize(features)
        self.store(query, self.vote(query))
        return self.vote(query).log()


class Counts(AdaNPC):
    def vote(self, query):
        near, labels = self.bank.nearest(query, self.n_neighbors)
        votes = near.new_zeros(len(query), self.model.card.n_classes)
        share = 0 * near + 1 / near.shape[1]
        return (votes.scatter_add(1, labels, share) + self.score_floor).clamp_max(1)


class NoTemperature(AdaNPC):
    def __init__(self, model, *, temperature, **rest):
        super().__init__(model, temperature=1.0, **rest)


class NoFloor(AdaNPC):
    def __init__(self, model, *, score_floor, **rest):
        super().__init__(model, score_floor=0.0, **rest)


class NoCap(AdaNPC):
    def vote(self, query):
        with patch.object(torch.Tensor, "clamp_max", lambda votes, _: votes):
            return super().vote(query)


class RowsNotNormalised(AdaNPC):
    def artefact(self, source):
        with patch.object(F, "normalize", lambda features: features):
            return super().artefact(source)


class PredictedLabels(AdaNPC):
    def artefact(self, source):
        made = super().artefact(source)
        with torch.no_grad():
            made["labels"] = self.model(source.images).argmax(1)
        return made


class NormReset(AdaNPC):
    def normed(self, features, *, moving):
        return super().normed(features, moving=False)


class NormNotTrained(AdaNPC):
    def __init__(self, model, **rest):
        super().__init__(model, **rest)
        if self.feature_norm is not None:
            self.optimizer.param_groups[0]["lr"] = 0.0


class StoresOnce(FeatureMemory):
    def add(self, rows, labels):
        super().add(rows[:1], labels[:1])


MUTANTS = [
    Mutant("adanpc", "filter on the vote", FilterOnVote),
    Mutant("adanpc", "no random row", NoFirstRow),
    Mutant("adanpc", "stored before the answer", StoresFirst),
    Mutant("adanpc", "neighbours counted", Counts),
    Mutant("adanpc", "no temperature", NoTemperature),
    Mutant("adanpc", "no floor", NoFloor),
    Mutant("adanpc", "votes above 1", NoCap),
    Mutant("adanpc", "source rows not normalised", RowsNotNormalised),
    Mutant(
        "adanpc",
        "predicted source labels",
        PredictedLabels,
        survives="the model is right on every source image of the public files",
    ),
    Mutant("adanpc", "memory survives reset", keeping(AdaNPC, "bank")),
    Mutant("adanpc", "statistics stay", NormReset),
    Mutant("adanpc", "norm not trained", NormNotTrained),
    Mutant(
        "adanpc",
        "first of a batch stored",
        AdaNPC,
        lambda: patch("ctta.methods.adanpc.FeatureMemory", StoresOnce),
    ),
]
