"""A network's answers to several views of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ctta.models.pieces import mixing_layer
from ctta.models.source import SourceModel

TOGETHER = 64
"""Images of one forward; a device has enough to do with these."""


def answers_to_views(
    model: SourceModel, augment: Callable[[Tensor], Tensor], x: Tensor, n_views: int
) -> Tensor:
    """Logits [V,B,K] of ``n_views`` views of ``x`` [B,C,H,W].

    Views of a small batch share a forward, unless a layer looks at the whole of its batch.
    """
    shared = 1 if mixing_layer(model) else max(1, TOGETHER // len(x))
    made = []
    for done in range(0, n_views, shared):
        views = [augment(x) for _ in range(min(shared, n_views - done))]
        logits = model(torch.cat(views) if len(views) > 1 else views[0])
        made.append(logits.reshape(len(views), len(x), -1))
    return torch.cat(made)
