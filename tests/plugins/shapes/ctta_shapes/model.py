"""A classifier of shapes that is fitted in closed form."""

from __future__ import annotations

import torch
from torch import nn

from ctta.data.base import LabelledData
from ctta.models.source import SourceModel, WrappedModel


def shapes_net(*, data: LabelledData, seed: int, ridge: float) -> SourceModel:
    """Random filters, batch norm, and a linear layer by ridge regression on the training images.

    Args:
        data: whose training split is used.
        seed: of the filters.
        ridge: weight of the squared norm of the linear layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        below = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(16, momentum=1.0),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
    source = data.source()
    images = source.images[: len(source)]
    with torch.no_grad():
        below(images)  # in train mode: the statistics are those of the training images
        features = below.eval()(images).double()
        targets = nn.functional.one_hot(source.labels, data.n_classes).double()
        mean = features.mean(0)
        centred = features - mean
        gram = centred.T @ centred + ridge * torch.eye(centred.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(gram, centred.T @ (targets - targets.mean(0))).T
        head = nn.Linear(centred.shape[1], data.n_classes)
        head.weight.copy_(weight)
        head.bias.copy_(targets.mean(0) - weight @ mean)
    module = nn.Sequential(*below, head).eval()
    return WrappedModel(module, name="shapes_net", image_shape=tuple(images.shape[1:]))
