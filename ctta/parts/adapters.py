"""Low-rank and high-rank branches in parallel with a layer of a trained model.

The names of the parts are those of the published ViDA checkpoints (Yangsenqiao/vida at c26b0db,
``inject_vida.py``), so that these load. The branch beside a convolution is our own design.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from ctta.data.source import SourceData
from ctta.models.source import SourceModel

MARK = "vida_"  # in the name of every adapter parameter and of no other


class Adapted(nn.Module):
    """``W x + b + s_low U1 D1 x + s_high U2 D2 x``; U1 = U2 = 0 at first.

    Args:
        layer: the trained layer, a linear map or a convolution.
        low_rank: width of the first branch.
        high_rank: width of the second branch.
        generator: of the down projections, N(0, 1/rank^2) in standard deviation.

    Attributes:
        scales: [s_low, s_high], not parameters; a method may give its adapters one list in common.
    """

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        *,
        low_rank: int,
        high_rank: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.linear_vida = layer
        self.vida_down, self.vida_up = branch(layer, low_rank, generator)
        self.vida_down2, self.vida_up2 = branch(layer, high_rank, generator)
        self.scales = [1.0, 1.0]

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's own, with the branches added."""
        low: Tensor = self.vida_up(self.vida_down(x))
        high: Tensor = self.vida_up2(self.vida_down2(x))
        plain: Tensor = self.linear_vida(x)
        low_scale, high_scale = self.scales
        return plain + low * low_scale + high * high_scale


def branch(
    layer: nn.Linear | nn.Conv2d, rank: int, generator: torch.Generator
) -> tuple[nn.Module, nn.Module]:
    """Down and up projection of one branch beside ``layer``."""
    made = functools.partial(skip_init, bias=False)  # draws nothing from the global generator
    if isinstance(layer, nn.Conv2d):
        down = made(nn.Conv2d, layer.in_channels, rank, 1, stride=layer.stride)
        up = made(nn.Conv2d, rank, layer.out_channels, 1)
    else:
        down = made(nn.Linear, layer.in_features, rank)
        up = made(nn.Linear, rank, layer.out_features)
    down, up = down.to(layer.weight), up.to(layer.weight)
    drawn = torch.randn(down.weight.shape, generator=generator) / rank**2
    with torch.no_grad():
        down.weight.copy_(drawn)
        up.weight.zero_()
    return down, up


def add_adapters(
    model: nn.Module,
    names: Iterable[str],
    *,
    low_rank: int,
    high_rank: int,
    generator: torch.Generator,
) -> None:
    """Put an `Adapted` in the place of each named layer; the model computes what it did before."""
    for name in names:
        layer = model.get_submodule(name)
        assert isinstance(layer, (nn.Linear, nn.Conv2d))
        owner, _, child = name.rpartition(".")
        made = Adapted(layer, low_rank=low_rank, high_rank=high_rank, generator=generator)
        setattr(model.get_submodule(owner), child, made.train(layer.training))


def adapter_targets(model: SourceModel) -> list[str]:
    """Names of the layers that get adapters.

    Raises:
        ValueError: there is none.
    """
    if not model.adapter_targets:
        raise ValueError(
            "ViDA's adapters go beside the linear maps of an attention or beside convolutions that "
            f"keep the side; {model.card.name} calls no such layer. For a transformer take timm's, "
            "as model=timm model.name=vit_base_patch16_224.augreg_in21k_ft_in1k"
        )
    return model.adapter_targets


def adapters(model: nn.Module) -> list[Adapted]:
    """The adapted layers in order."""
    return [module for module in model.modules() if isinstance(module, Adapted)]


def adapter_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of the branches."""
    return {name: p for name, p in model.named_parameters() if MARK in name}


def other_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """All parameters but those of the branches."""
    return {name: p for name, p in model.named_parameters() if MARK not in name}


@torch.enable_grad()
def warmed_up(
    model: nn.Module,
    source: SourceData,
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """Adapter parameters after a training on labelled source images; ``model`` stays as it is.

    Nothing was published for this: cross entropy over the adapters alone, by Adam, is our recipe.

    Args:
        model: with adapters, on ``device``.
        source: the training data.
        epochs: passes over it, each in an order of its own.
        lr: of Adam.
        batch_size: images a step.
        device: where to compute.
    """
    model = copy.deepcopy(model).requires_grad_(False)
    added = adapter_parameters(model)
    for parameter in added.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(added.values(), lr=lr)
    generator = torch.Generator().manual_seed(epochs)
    for _ in range(epochs):
        order = torch.randperm(len(source), generator=generator)
        for own in torch.split(order, batch_size):
            x, y = source.images[own].to(device), source.labels[own].to(device)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return {name: p.detach().clone() for name, p in added.items()}
