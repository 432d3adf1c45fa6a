"""AdaNPC: a nearest-neighbour vote over source features, to which the stream adds its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctta.data.source import SourceData
from ctta.methods.base import Artefact, Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, count_or_none, flag, fraction, number, one_of
from ctta.parts.batch_norm import normalised
from ctta.parts.losses import entropy
from ctta.parts.memory import FeatureMemory, random_row, unit_features
from ctta.parts.optimizer import make_optimizer


class AdaNPC(Method):
    """Zhang et al., "AdaNPC", ICML 2023, arXiv 2304.12566. Needs labelled source data.

    The model is frozen. What is returned is the logarithm of the votes p.

    Args:
        model: the source model.
        n_neighbors: k.
        temperature: T; the vote of a neighbour is the softmax over k of its similarity / T.
        min_confidence: beta; a sample is stored, under its voted class, from this confidence on.
        confidence: ``double_softmax`` (official) is the maximum of softmax(p), which ends at
            e/(e+K-1); ``vote`` is the maximum of p, from 0 to 1.
        score_floor: added to every class's vote.
        random_first_row: keep the random row of class 0 with which the official memory starts.
        similarity_radius: if every sample of a batch has a row this near, all rows this near vote
            in place of the k nearest; None: never.
        max_memory: bound on the rows that the stream adds, the oldest leave first; None: no bound.
        source_per_class: source rows a class, the first ones; None: all.
        feature_norm: ``train`` or ``eval``: a batch norm over features, in that mode, trained on
            the votes' entropy (AdaNPC-BN); None: none.
        optimizer: of that batch norm; None without one.
        shared: see `Method`.
    """

    paper = "arXiv 2304.12566"
    version = 1
    uses_source_data = True
    artefact_depends_on = ("source_per_class",)
    survives_reset = ("feature_norm", "optimizer")
    not_state = Method.not_state | {"memory_first_row"}

    def __init__(
        self,
        model: SourceModel,
        *,
        n_neighbors: int,
        temperature: float,
        min_confidence: float,
        confidence: Literal["double_softmax", "vote"],
        score_floor: float,
        random_first_row: bool,
        similarity_radius: float | None = None,
        max_memory: int | None = None,
        source_per_class: int | None = None,
        feature_norm: Literal["train", "eval"] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.n_neighbors = count("n_neighbors", n_neighbors)
        self.temperature = number("temperature", temperature, low=1e-6)
        self.min_confidence = number("min_confidence", min_confidence, low=0)
        self.confidence = one_of("confidence", confidence, ("double_softmax", "vote"))
        self.score_floor = fraction("score_floor", score_floor)
        self.similarity_radius = (
            None
            if similarity_radius is None
            else number("similarity_radius", similarity_radius, -1, 1)
        )
        self.max_memory = count_or_none("max_memory", max_memory)
        self.source_per_class = count_or_none("source_per_class", source_per_class)
        self.model.eval().requires_grad_(False)
        n_first = int(flag("random_first_row", random_first_row))
        drawn = random_row(model.n_features, self.generator).to(self.device, self.dtype)
        self.memory_first_row = drawn[:n_first]
        self.bank = FeatureMemory(self.first_row())
        self.feature_norm: nn.BatchNorm1d | None = None
        if feature_norm is not None:
            one_of("feature_norm", feature_norm, ("train", "eval"))
            norm = nn.BatchNorm1d(model.n_features, device=self.device, dtype=self.dtype)
            self.feature_norm = norm.train(feature_norm == "train")
            self.optimizer = make_optimizer(norm.parameters(), optimizer or {})

    def source_part(self, source: SourceData) -> SourceData:
        n = self.source_per_class
        return source if n is None else source.balanced(n)

    def artefact(self, source: SourceData) -> Artefact:
        """Unit features of the source images, and their true labels."""
        chosen = self.source_part(source)
        return {"rows": unit_features(self.model, chosen), "labels": chosen.labels}

    def install(self, artefact: Artefact, source: SourceData) -> None:
        rows, labels = artefact["rows"], artefact["labels"]
        assert isinstance(rows, Tensor)
        assert isinstance(labels, Tensor)
        own = (rows.to(self.memory_first_row), labels.to(self.device))
        self.bank = FeatureMemory(self.first_row(), own, max_rows=self.max_memory)
        if self.observers:  # these are copies of the memory
            self.observe("memory_init", self.memory)
            self.observe("memory_label_init", self.memory_label)

    def updates(self, x: Tensor) -> Tensor:
        features = self.frozen_features(x)
        for _ in range(self.steps):
            answer = self.update(features)
        return answer

    def adapt(self, x: Tensor) -> Tensor:
        return self.update(self.frozen_features(x))

    @torch.enable_grad()
    def update(self, features: Tensor) -> Tensor:
        """One step on the features [B,D] of a batch."""
        query = F.normalize(self.normed(features, moving=True))
        votes = self.vote(query)
        self.observe("features", features)
        if self.feature_norm is not None:
            loss = entropy(votes).mean()  # of softmax(p), although p already is a distribution
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.observe("loss", loss)
            self.observe("bn_weight", self.feature_norm.weight)
            self.observe("bn_bias", self.feature_norm.bias)
        # Last, since the gradient needs the memory as it was.
        self.store(query.detach(), votes.detach())
        return votes.log()

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        query = F.normalize(self.normed(self.frozen_features(x), moving=False))
        return self.vote(query).log()

    @torch.no_grad()
    def frozen_features(self, x: Tensor) -> Tensor:
        """Features [B,D], which no step changes."""
        return self.model.features_and_logits(x)[0]

    def vote(self, query: Tensor) -> Tensor:
        """p [B,K] of unit features [B,D]."""
        near, labels = self.bank.nearest(query, self.n_neighbors)
        n_classes, radius = self.model.card.n_classes, self.similarity_radius
        if radius is not None and bool((near[:, 0] > radius).all()):
            votes = self.bank.vote_within(query, radius, near[:, :1], self.temperature, n_classes)
        else:
            shares = (near / self.temperature).softmax(1)
            votes = near.new_zeros(len(query), n_classes).scatter_add(1, labels, shares)
        return (votes + self.score_floor).clamp_max(1)

    def store(self, query: Tensor, votes: Tensor) -> None:
        """Add the samples that are sure enough, under the class that won."""
        scores = votes.softmax(1) if self.confidence == "double_softmax" else votes
        sure, winner = scores.max(1)
        keep = sure >= self.min_confidence
        self.bank.add(query[keep], winner[keep])
        self.observe("stored", keep)

    def normed(self, features: Tensor, *, moving: bool) -> Tensor:
        """Features through the batch norm, if there is one."""
        norm = self.feature_norm
        return features if norm is None else normalised(norm, features, moving=moving)

    def first_row(self) -> tuple[Tensor, Tensor]:
        """The random row, if there is one, and its label, class 0."""
        n = len(self.memory_first_row)
        return self.memory_first_row, torch.zeros(n, dtype=torch.int64, device=self.device)

    @property
    def memory(self) -> Tensor:
        """All rows [M,D]."""
        return self.bank.rows()

    @property
    def memory_label(self) -> Tensor:
        """Their labels [M]."""
        return self.bank.labels()

    @property
    def memory_size(self) -> int:
        """M."""
        return len(self.bank)
