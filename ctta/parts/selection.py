"""Which samples a method learns from."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reliable(entropies: Tensor, margin: float, n_classes: int) -> Tensor:
    """Samples [B] whose entropy is below ``margin`` ln K."""
    return entropies < margin * math.log(n_classes)


def mean_over(values: Tensor, kept: Tensor) -> Tensor:
    """Mean of the kept values; 0, with gradient 0, if there are none."""
    chosen = values.masked_select(kept)
    return chosen.sum() / max(len(chosen), 1)


def loss_or_nan(loss: Tensor, kept: Tensor) -> Tensor:
    """The loss as a record of it: NaN where nothing was kept."""
    return torch.where(kept.any(), loss.detach(), math.nan)
