"""A model that answers for some of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ctta.models.source import SourceModel

N_IMAGENET = 1000


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


def for_classes(model: SourceModel, data: Any, names: Mapping[str, str]) -> SourceModel:
    """``model`` with the outputs that the data set's labels stand for.

    Raises:
        ValueError: the model has another number of classes.
    """
    kept = getattr(data, "classes", None)
    if kept is not None and model.card.n_classes == N_IMAGENET:
        return keep_classes(model, kept)
    expected = getattr(data, "n_classes", 0)  # another package's data set may not say
    if model.card.n_classes < expected:
        raise ValueError(
            f"model {names['model']} answers with {model.card.n_classes} classes, but "
            f"{names['dataset']} has labels of {expected}; choose another model=..."
        )
    return model
