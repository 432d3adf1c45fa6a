"""Mean features of the classes of the training data."""

from __future__ import annotations

import torch
from torch import Tensor

from ctta.models.source import SourceModel
from ctta.parts.source_batches import SourceBatches

ENOUGH_FEATURES = 100_000  # the pass ends with the batch that exceeds it


@torch.no_grad()
def class_means(model: SourceModel, batches: SourceBatches, device: torch.device) -> Tensor:
    """Mean feature a class [K,D], by the true labels, in ``model``'s own type.

    Args:
        model: on ``device``.
        batches: at the beginning of a pass over the training data.
        device: where to compute.

    Raises:
        ValueError: a class without an image.
    """
    total, counts = torch.zeros(()), torch.zeros(model.card.n_classes, dtype=torch.int64)
    n_seen = 0
    while n_seen < min(len(batches.source), ENOUGH_FEATURES + 1):
        x, y = batches.take()
        features, _ = model.features_and_logits(x.to(device))
        if not n_seen:
            total = features.new_zeros(model.card.n_classes, features.shape[1])
        total.index_add_(0, y.to(device), features)
        counts += torch.bincount(y, minlength=len(counts))
        n_seen += len(y)
    missing = (counts == 0).nonzero()[:, 0].tolist()
    if missing:
        raise ValueError(
            f"the source data have no image of {len(missing)} classes ({missing[:5]}, ...); a "
            "prototype is needed of each"
        )
    return total / counts.to(total)[:, None]
