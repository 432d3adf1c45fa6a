"""A model that answers for some of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from ctta.models.source import SourceModel


def keep_classes(model: SourceModel, classes: Sequence[int]) -> SourceModel:
    """Cut the last layer down to the rows ``classes``, in that order; done in place.

    The logits are those of the whole model without the others. The hash on the card stays that of
    the published weights: which classes are kept belongs to the data set.

    Raises:
        ValueError: the last layer is not linear.
    """
    head = model.head
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"model: expected a linear last layer to keep {len(classes)} of its classes, got "
            f"{type(head).__name__}"
        )
    rows = torch.tensor(classes)
    head.weight = nn.Parameter(head.weight.detach()[rows])
    if head.bias is not None:
        head.bias = nn.Parameter(head.bias.detach()[rows])
    head.out_features = len(classes)
    model.card = replace(model.card, n_classes=len(classes))
    return model
