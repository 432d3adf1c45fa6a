"""ROID: certain, diverse samples; weights averaged with the source's after every update."""

from __future__ import annotations

from typing import Any

from ctta import kernels
from ctta.methods.likelihood_ratio import LikelihoodRatio
from ctta.models.source import SourceModel
from ctta.parts.arguments import fraction


class ROID(LikelihoodRatio):
    """Marsden, Döbler, Yang, "Universal Test-time Adaptation through Weight Ensembling,
    Diversity Weighting, and Prior Correction", WACV 2024, arXiv 2306.00650.

    A batch of one image: see `LikelihoodRatio`.

    Args:
        model: the source model.
        source_share: s; after each update ``theta <- (1-s) theta + s theta0``.
        shared: see `LikelihoodRatio` and `Method`.
    """

    paper = "arXiv 2306.00650"
    version = 1
    not_state = LikelihoodRatio.not_state | {"anchor"}  # never moves

    def __init__(self, model: SourceModel, *, source_share: float, **shared: Any) -> None:
        super().__init__(model, **shared)
        self.source_share = fraction("source_share", source_share)
        self.anchor = {name: p.detach().clone() for name, p in self.trained.items()}

    def hold(self) -> None:
        kernels.ema_(self.trained.values(), self.anchor.values(), 1 - self.source_share)
