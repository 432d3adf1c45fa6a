"""DeYO: learns from reliable samples whose answer depends on the object's shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, flag, number, one_of
from ctta.parts.batch_norm import norm_only
from ctta.parts.destroy import Occlusion, Shuffle
from ctta.parts.late_layers import late_layers
from ctta.parts.losses import entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.selection import loss_or_nan, mean_over, reliable


class DeYO(Method):
    """Lee et al., "Entropy is not Enough for Test-Time Adaptation", ICLR 2024, arXiv 2403.07366.

    Args:
        model: the source model.
        optimizer: name, lr and the optimizer's own keys.
        entropy_margin: reliable is an entropy below this share of ln K.
        weight_margin: of the weight ``exp(weight_margin ln K - H)``.
        min_prob_drop: kept if the probability of the answer falls by more than this when the
            object is destroyed.
        weight_by_entropy: use the weight above.
        weight_by_drop: use, or add, the weight ``exp(drop)``.
        destroy: ``patch`` (each image's patches permuted), ``pixel``, ``occlusion``.
        patches_per_side: for ``patch``.
        occlusion_size: side of the covered square in pixels, for ``occlusion``.
        occlusion_row: of its upper edge.
        occlusion_column: of its left edge.
        variant: as in `SAR`.
        shared: see `Method`.
    """

    paper = "arXiv 2403.07366"
    version = 1
    not_state = Method.not_state | {"trained"}  # saved with the model

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        entropy_margin: float,
        weight_margin: float,
        min_prob_drop: float,
        weight_by_entropy: bool,
        weight_by_drop: bool,
        destroy: Literal["patch", "pixel", "occlusion"],
        patches_per_side: int | None = None,
        occlusion_size: int | None = None,
        occlusion_row: int | None = None,
        occlusion_column: int | None = None,
        variant: Literal["official", "paper"] = "official",
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.entropy_margin = number("entropy_margin", entropy_margin, low=0)
        self.weight_margin = number("weight_margin", weight_margin, low=0)
        self.min_prob_drop = number("min_prob_drop", min_prob_drop, -1, 1)
        self.weight_by_entropy = flag("weight_by_entropy", weight_by_entropy)
        self.weight_by_drop = flag("weight_by_drop", weight_by_drop)
        self.augment: Callable[[Tensor], Tensor]
        if one_of("destroy", destroy, ("patch", "pixel", "occlusion")) == "occlusion":
            self.augment = Occlusion(
                count("occlusion_size", occlusion_size),
                count("occlusion_row", occlusion_row, low=0),
                count("occlusion_column", occlusion_column, low=0),
            )
        else:
            per_side = None if destroy == "pixel" else count("patches_per_side", patches_per_side)
            self.augment = Shuffle(self.generator, per_side)
        self.trained = norm_only(self.model, leave_out=late_layers(self.model, variant))
        self.optimizer = make_optimizer(self.trained.values(), optimizer)

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        entropies = entropy(logits)
        kept = reliable(entropies, self.entropy_margin, logits.shape[1])
        drop = self.drop(x, logits.detach(), kept)
        kept = kept & (drop > self.min_prob_drop)
        weights = self.weights(entropies.detach(), drop, logits.shape[1])
        loss = mean_over(weights * entropies, kept)
        if kept.any():
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        self.observe("entropy", entropies)
        self.observe("loss", loss_or_nan(loss, kept))
        return logits

    @torch.no_grad()
    def drop(self, x: Tensor, logits: Tensor, kept: Tensor) -> Tensor:
        """By how much the answer's probability falls, [B]; 0 for samples that are not kept."""
        drop = torch.zeros_like(logits[:, 0])
        if kept.any():
            before, answer = logits[kept].softmax(1).max(1)
            after: Tensor = self.model(self.augment(x[kept])).softmax(1)
            drop[kept] = before - after.gather(1, answer[:, None])[:, 0]
        return drop

    def weights(self, entropies: Tensor, drop: Tensor, n_classes: int) -> Tensor:
        """[B], without gradient."""
        by_entropy = (self.weight_margin * math.log(n_classes) - entropies).exp()
        if self.weight_by_entropy and self.weight_by_drop:
            return by_entropy + drop.exp()
        if self.weight_by_entropy:
            return by_entropy
        return drop.exp() if self.weight_by_drop else torch.ones_like(drop)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits
