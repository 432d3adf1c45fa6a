"""T3A: the classifier's rows are replaced by the centroids of sure features, without gradients."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, one_of
from ctta.parts.losses import entropy


class T3A(Method):
    """Iwasawa and Matsuo, "Test-Time Classifier Adjustment Module for Model-Agnostic Domain
    Generalization", NeurIPS 2021.

    Each class keeps a support set of unit features, which starts with the class's own weights. A
    sample joins the set of the class that the source classifier gives it; of each set the
    ``max_supports`` of lowest entropy under the source classifier stay. The logits are the inner
    products of the features with the sets' centroids. The samples of a batch join before any of
    them is answered, as in the official code (matsuolab/T3A at 4228a5b).

    Args:
        model: the source model; its last layer has one row of weights a class.
        max_supports: M, of each set; None: no bound (1, 5, 20, 50, 100 and none in the paper).
        variant: ``paper``: a set starts under its own class, and a centroid is the mean of the set;
            ``official``: the weights start under the class that the classifier gives them, and a
            centroid is the sum of the set, scaled to unit length.
        shared: see `Method`.

    Raises:
        ValueError: the model's last layer has no matrix of weights.
    """

    paper = "Iwasawa and Matsuo, NeurIPS 2021"
    version = 1

    def __init__(
        self,
        model: SourceModel,
        *,
        max_supports: int | None,
        variant: Literal["paper", "official"],
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.max_supports = None if max_supports is None else count("max_supports", max_supports)
        self.variant = one_of("variant", variant, ("paper", "official"))
        self.model.eval().requires_grad_(False)
        weight = getattr(self.model.head, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim != 2:
            raise ValueError("t3a needs a last layer with a matrix of weights; this model has none")
        logits = self.model.head(weight)
        own = torch.arange(len(weight), device=weight.device)
        self.rows = F.normalize(weight)  # [M,D]
        self.labels = own if variant == "paper" else logits.argmax(1)  # [M]
        self.entropies = entropy(logits)  # [M]
        self.keep_surest()

    @torch.no_grad()
    def adapt(self, x: Tensor) -> Tensor:
        features, logits = self.model.features_and_logits(x)
        self.rows = torch.cat([self.rows, F.normalize(features)])
        self.labels = torch.cat([self.labels, logits.argmax(1)])
        self.entropies = torch.cat([self.entropies, entropy(logits)])
        self.keep_surest()
        return features @ self.centroids().T

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        features, _ = self.model.features_and_logits(x)
        return features @ self.centroids().T

    def keep_surest(self) -> None:
        """Of each class the ``max_supports`` rows of lowest entropy; of two equals, the older."""
        if self.max_supports is None:
            return
        order = self.entropies.argsort(stable=True)
        order = order[self.labels[order].argsort(stable=True)]  # by class, then by entropy
        labels = self.labels[order].contiguous()
        rank = torch.arange(len(labels), device=labels.device) - torch.searchsorted(labels, labels)
        kept = order[rank < self.max_supports]
        self.rows, self.labels = self.rows[kept], self.labels[kept]
        self.entropies = self.entropies[kept]

    def centroids(self) -> Tensor:
        """[K,D], zero for a class without a row."""
        n_classes = self.model.card.n_classes
        sums = self.rows.new_zeros(n_classes, self.rows.shape[1])
        sums = sums.index_add(0, self.labels, self.rows)
        if self.variant == "official":
            return F.normalize(sums)
        return sums / torch.bincount(self.labels, minlength=n_classes).clamp_min(1)[:, None]
