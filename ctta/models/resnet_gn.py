"""The pre-activation ResNet with group norm for 32x32 images, as MEMO trains it.

He et al., ECCV 2016, 1603.05027; Wu and He, ECCV 2018, 1803.08494. Names of parts are those of the
checkpoint in zhangmarvin/memo at 228b290 (where a norm is called ``bn`` whatever it is).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Norm, ReLU, convolution 3x3, twice; beside it the input.

    Where the side shrinks, the input is averaged over windows; new channels start from zero.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, n_groups: int) -> None:
        super().__init__()
        self.bn1 = nn.GroupNorm(n_groups, n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.GroupNorm(n_groups, n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.stride, self.n_new = stride, n_out - n_in

    def forward(self, x: Tensor) -> Tensor:
        """[B,n_in,H,W] -> [B,n_out,H/stride,W/stride]."""
        out: Tensor = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        beside = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        return F.pad(beside, (0, 0, 0, 0, 0, self.n_new)) + out


class ResNetGN(nn.Module):
    """Three groups of (depth-2)/6 blocks with 16, 32 and 64 channels; mean over the image; linear.

    Args:
        depth: 6n + 2.
        n_groups: of the group norms.
        num_classes: K.

    Raises:
        ValueError: another depth.
    """

    def __init__(self, *, depth: int, n_groups: int, num_classes: int) -> None:
        super().__init__()
        n_blocks, rest = divmod(depth - 2, 6)
        if rest or n_blocks < 1:
            raise ValueError(f"depth: expected 6n + 2 (8, 14, 20, 26, ...), got {depth}")

        def group(n_in: int, n_out: int, stride: int) -> nn.Sequential:
            rest = [Block(n_out, n_out, 1, n_groups) for _ in range(n_blocks - 1)]
            return nn.Sequential(Block(n_in, n_out, stride, n_groups), *rest)

        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.layer1 = group(16, 16, 1)
        self.layer2 = group(16, 32, 2)
        self.layer3 = group(32, 64, 2)
        self.bn = nn.GroupNorm(n_groups, 64)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] -> logits [B,K]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        logits: Tensor = self.fc(F.relu(self.bn(x)).mean(dim=(2, 3)))
        return logits
