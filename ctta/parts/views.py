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
    together = TOGETHER // len(x)
    if together < 2 or mixing_layer(model):
        return torch.stack([model(augment(x)) for _ in range(n_views)])
    made = []
    for first in range(0, n_views, together):
        views = [augment(x) for _ in range(min(together, n_views - first))]
        made.append(model(torch.cat(views)))
    return torch.cat(made).reshape(n_views, len(x), -1)
