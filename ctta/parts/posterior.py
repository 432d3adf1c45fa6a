"""A diagonal Gaussian over the weights, fitted to snapshots along a short training (SWAG)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctta.data.source import SourceData


@dataclass(frozen=True)
class SwagRecipe:
    """The further training along which snapshots are taken.

    Attributes:
        epochs: one snapshot after each but the first.
        batch_size: images a step.
        first_lr: in the first epoch.
        last_lr: reached linearly over the three epochs after it.
        momentum: of SGD.
        weight_decay: of SGD.
    """

    epochs: int
    batch_size: int
    first_lr: float
    last_lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def lr(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        return self.first_lr + (self.last_lr - self.first_lr) * min(epoch / 3, 1.0)


@torch.enable_grad()
def fit_posterior(
    model: nn.Module, source: SourceData, recipe: SwagRecipe, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Mean and variance by parameter, of all parameters; ``model`` stays as it is.

    The model is trained in eval mode, batch norm with its stored statistics, on labelled source
    images without augmentation, as in the CIFAR script of dhanajitb/petal at ae61118. The variance
    E[w^2] - E[w]^2 is not clamped: rounding may leave it a little below zero.
    """
    model = copy.deepcopy(model).eval().requires_grad_(True)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.first_lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    generator = torch.Generator().manual_seed(0)
    mean = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for epoch in range(recipe.epochs):
        optimizer.param_groups[0]["lr"] = recipe.lr(epoch)
        order = torch.randperm(len(source), generator=generator)
        for own in torch.split(order, recipe.batch_size):
            x, y = source.images[own].to(device), source.labels[own].to(device)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        for name, p in model.named_parameters() if epoch else ():
            mean[name] += (p.detach() - mean[name]) / epoch
            second[name] += (p.detach().square() - second[name]) / epoch
    return mean, {name: second[name] - mean[name].square() for name in mean}
