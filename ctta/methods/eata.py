"""EATA: ETA, held near the source where the source's Fisher information is large."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Artefact
from ctta.methods.eta import ETA
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, count_or_none, number
from ctta.parts.fisher import source_fisher


class EATA(ETA):
    """Niu et al., "Efficient Test-Time Model Adaptation without Forgetting", ICML 2022.

    Args:
        model: the source model.
        fisher_weight: lambda_F of ``sum F (theta - theta0)^2``; 0 is ETA, which needs no source.
        source_batch_size: images a batch of the Fisher pass; the Fisher depends on it.
        source_samples: images of that pass, drawn from the training data; None: all.
        shared: see `ETA` and `Method`.

    Attributes:
        fisher: F by parameter, zero before the preparation.
    """

    version = 1
    artefact_depends_on = ("source_batch_size", "source_samples", "seed")
    not_state = ETA.not_state | {"fisher", "anchor"}  # neither moves along the stream

    def __init__(
        self,
        model: SourceModel,
        *,
        fisher_weight: float,
        source_batch_size: int | None = None,
        source_samples: int | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.fisher_weight = number("fisher_weight", fisher_weight, low=0)
        self.uses_source_data = self.fisher_weight > 0
        if self.uses_source_data:
            self.source_batch_size = count("source_batch_size", source_batch_size)
        self.source_samples = count_or_none("source_samples", source_samples)
        self.anchor = {name: p.detach().clone() for name, p in self.trained.items()}
        self.fisher = {name: torch.zeros_like(p) for name, p in self.anchor.items()}

    def source_part(self, source: SourceData) -> SourceData:
        return source.drawn(self.source_samples, seed=self.seed)

    def artefact(self, source: SourceData) -> Artefact:
        if not self.uses_source_data:
            return {}
        chosen = self.source_part(source).batches(self.source_batch_size)
        images = (x.to(self.device) for x, _ in chosen)
        return dict(source_fisher(self.model, self.trained, images))

    def install(self, artefact: Artefact, source: SourceData) -> None:
        for name, value in artefact.items():
            assert isinstance(value, Tensor)
            self.fisher[name] = value.to(self.fisher[name])

    def penalty(self) -> Tensor | float:
        """``lambda_F sum F (theta - theta0)^2``."""
        if not self.uses_source_data:
            return 0.0
        parts = [
            (self.fisher[name] * (p - self.anchor[name]).square()).sum()
            for name, p in self.trained.items()
        ]
        return self.fisher_weight * torch.stack(parts).sum()
