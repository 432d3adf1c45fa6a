"""ResNet-50 with a bottleneck, as AdaContrast trains it on DomainNet-126.

Chen et al., CVPR 2022, 2204.10377. Names of parts are those of the published checkpoints
(DianCh/AdaContrast at c3c8b88, ``classifier.py``), so that these load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNormLinear(nn.Module):
    """A linear layer whose rows are a length times a direction (Salimans and Kingma, 1602.07868).

    Torch's own form keeps the product as a plain attribute, which a deep copy refuses.

    Args:
        n_in: D.
        n_out: K.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        plain = nn.Linear(n_in, n_out)
        self.weight_g = nn.Parameter(plain.weight.detach().norm(dim=1, keepdim=True))
        self.weight_v = nn.Parameter(plain.weight.detach())
        self.bias = plain.bias

    @property
    def weight(self) -> Tensor:
        """[K,D]."""
        rows: Tensor = self.weight_g * self.weight_v / self.weight_v.norm(dim=1, keepdim=True)
        return rows

    def forward(self, x: Tensor) -> Tensor:
        """[B,D] -> [B,K]."""
        return F.linear(x, self.weight, self.bias)


class DomainNetResNet50(nn.Module):
    """torchvision's ResNet-50 with its last layer as bottleneck, batch norm, weight-normed linear.

    Args:
        num_classes: K.
        bottleneck: D.
    """

    def __init__(self, *, num_classes: int, bottleneck: int) -> None:
        super().__init__()
        from torchvision.models import resnet50

        body = resnet50(weights=None, num_classes=bottleneck)
        self.encoder = nn.Sequential(body, nn.BatchNorm1d(bottleneck))
        self.fc = WeightNormLinear(bottleneck, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] -> logits [B,K]."""
        logits: Tensor = self.fc(torch.flatten(self.encoder(x), 1))
        return logits
