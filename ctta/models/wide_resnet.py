"""Wide residual networks for 32x32 images (Zagoruyko and Komodakis, BMVC 2016, 1605.07146).

Names of parts are those of the checkpoints that RobustBench publishes (RobustBench/robustbench at
78fcc9e, ``architectures/wide_resnet.py``), so that these load.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

STEM = 16  # channels of the first convolution


class Block(nn.Module):
    """Norm, ReLU, convolution 3x3, twice; beside it the input, or a 1x1 convolution.

    Where the channels change, the 1x1 convolution starts from the normalised input.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        if n_in != n_out:
            self.convShortcut = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B,n_in,H,W] -> [B,n_out,H/stride,W/stride]."""
        start = F.relu(self.bn1(x))
        beside: Tensor = self.convShortcut(start) if hasattr(self, "convShortcut") else x
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(start))))
        return beside + out


class Group(nn.Module):
    """Blocks of one width; the first of them strides."""

    def __init__(self, n_blocks: int, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        rest = [Block(n_out, n_out, 1) for _ in range(n_blocks - 1)]
        self.layer = nn.Sequential(Block(n_in, n_out, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """[B,n_in,H,W] -> [B,n_out,H/stride,W/stride]."""
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """WRN-depth-width: three groups of (depth-4)/6 blocks, mean over the image, linear.

    Args:
        depth: 6n + 4.
        width: factor on the channels 16, 32, 64.
        num_classes: K.

    Raises:
        ValueError: another depth.
    """

    def __init__(self, *, depth: int, width: int, num_classes: int) -> None:
        super().__init__()
        n_blocks, rest = divmod(depth - 4, 6)
        if rest or n_blocks < 1:
            raise ValueError(f"depth: expected 6n + 4 (10, 16, 28, 40, ...), got {depth}")
        wide = [STEM, 16 * width, 32 * width, 64 * width]
        self.conv1 = nn.Conv2d(3, STEM, 3, padding=1, bias=False)
        self.block1 = Group(n_blocks, wide[0], wide[1], 1)
        self.block2 = Group(n_blocks, wide[1], wide[2], 2)
        self.block3 = Group(n_blocks, wide[2], wide[3], 2)
        self.bn1 = nn.BatchNorm2d(wide[3])
        self.fc = nn.Linear(wide[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] -> logits [B,K]."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        logits: Tensor = self.fc(F.relu(self.bn1(x)).mean(dim=(2, 3)))
        return logits
