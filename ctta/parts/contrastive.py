"""Contrast between the views of a batch's samples."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.utils import skip_init

SHORTEST = 1e-12  # length that a vector is divided by, as in `torch.nn.functional.normalize`


def contrastive_loss(features: Tensor, projector: nn.Module, temperature: float) -> Tensor:
    """InfoNCE over all views of all samples; the other views of a sample are its positives.

    Args:
        features: [B,V,D], V views a sample.
        projector: [*,D] -> [*,P]; its output is normalised.
        temperature: T.
    """
    n_views = features.shape[1]
    z = projector(features.flatten(0, 1))
    z = z / vector_norm(z, dim=1, keepdim=True).clamp_min(SHORTEST)
    similarity = torch.addmm(no_self(len(z), z.dtype, z.device), z, z.T, alpha=1 / temperature)
    return -similarity.log_softmax(1).gather(1, other_views(len(z), n_views, z.device)).mean()


@lru_cache(maxsize=4)
def no_self(n_rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0 for each pair of rows, minus infinity for a row and itself: [n_rows, n_rows]."""
    return torch.zeros(n_rows, n_rows, dtype=dtype, device=device).fill_diagonal_(-math.inf)


@lru_cache(maxsize=4)
def other_views(n_rows: int, n_views: int, device: torch.device) -> Tensor:
    """For each of the rows, ``n_views`` a sample, the sample's others: [n_rows, n_views - 1]."""
    row = torch.arange(n_rows, device=device)[:, None]
    view = row % n_views
    return row - view + (view + torch.arange(1, n_views, device=device)) % n_views


def make_projector(width: int, projection: int, generator: torch.Generator) -> nn.Sequential:
    """Linear, ReLU, Linear: D -> P -> P, as torch would draw them, but from ``generator``."""
    layers: list[nn.Linear] = []
    for n_in in (width, projection):
        layer: nn.Linear = skip_init(nn.Linear, n_in, projection)  # type: ignore[no-untyped-call]
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        nn.init.uniform_(layer.bias, -1 / math.sqrt(n_in), 1 / math.sqrt(n_in), generator=generator)
        layers.append(layer)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])
