"""Contrast between the views of a batch's samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init


def contrastive_loss(features: Tensor, projector: nn.Module, temperature: float) -> Tensor:
    """InfoNCE over all views of all samples; the other views of a sample are its positives.

    Args:
        features: [B,V,D], V views a sample.
        projector: [*,D] -> [*,P]; its output is normalised.
        temperature: T.
    """
    n_views = features.shape[1]
    z = F.normalize(projector(features.flatten(0, 1)))
    sample = torch.arange(len(z), device=z.device) // n_views
    oneself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(oneself, -math.inf)
    log_share = similarity - similarity.logsumexp(1, keepdim=True)
    positive = (sample[:, None] == sample) & ~oneself
    return -log_share[positive].view(len(z), n_views - 1).mean(1).mean()


def make_projector(width: int, projection: int, generator: torch.Generator) -> nn.Sequential:
    """Linear, ReLU, Linear: D -> P -> P, as torch would draw them, but from ``generator``."""
    layers: list[nn.Linear] = []
    for n_in in (width, projection):
        layer: nn.Linear = skip_init(nn.Linear, n_in, projection)  # type: ignore[no-untyped-call]
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        nn.init.uniform_(layer.bias, -1 / math.sqrt(n_in), 1 / math.sqrt(n_in), generator=generator)
        layers.append(layer)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])
