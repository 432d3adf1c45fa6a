"""ResNeXt for 32x32 images (Xie et al., CVPR 2017, 1611.05431).

Names of parts are those of the checkpoints that the authors of AugMix publish through RobustBench
(RobustBench/robustbench at 78fcc9e, ``architectures/resnext.py``), so that these load.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION = 4  # a bottleneck's output over its nominal width


class Bottleneck(nn.Module):
    """1x1, grouped 3x3, 1x1, each with batch norm; beside it the input or a strided 1x1.

    Args:
        n_in: channels of the input.
        width: nominal; the output has 4 times as many channels.
        cardinality: groups of the 3x3 convolution.
        base_width: channels of a group at the nominal width 64.
        stride: of the 3x3 convolution.
    """

    def __init__(
        self, n_in: int, width: int, *, cardinality: int, base_width: int, stride: int
    ) -> None:
        super().__init__()
        inner, n_out = width * base_width // 64 * cardinality, EXPANSION * width
        self.conv_reduce = nn.Conv2d(n_in, inner, 1, bias=False)
        self.bn_reduce = nn.BatchNorm2d(inner)
        self.conv_conv = nn.Conv2d(
            inner, inner, 3, stride=stride, padding=1, groups=cardinality, bias=False
        )
        self.bn = nn.BatchNorm2d(inner)
        self.conv_expand = nn.Conv2d(inner, n_out, 1, bias=False)
        self.bn_expand = nn.BatchNorm2d(n_out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            shortcut = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """[B,n_in,H,W] -> [B,4 width,H/stride,W/stride]."""
        out = F.relu(self.bn_reduce(self.conv_reduce(x)))
        out = F.relu(self.bn(self.conv_conv(out)))
        out = self.bn_expand(self.conv_expand(out))
        return F.relu(self.downsample(x) + out)


class ResNeXt(nn.Module):
    """Three stages of (depth-2)/9 bottlenecks, mean over the image, linear.

    Args:
        depth: 9n + 2.
        cardinality: see `Bottleneck`.
        base_width: see there.
        num_classes: K.

    Raises:
        ValueError: another depth.
    """

    def __init__(self, *, depth: int, cardinality: int, base_width: int, num_classes: int) -> None:
        super().__init__()
        n_blocks, rest = divmod(depth - 2, 9)
        if rest or n_blocks < 1:
            raise ValueError(f"depth: expected 9n + 2 (11, 20, 29, ...), got {depth}")

        def stage(n_in: int, width: int, stride: int) -> nn.Sequential:
            shapes = [(n_in, stride), *[(EXPANSION * width, 1)] * (n_blocks - 1)]
            return nn.Sequential(
                *(
                    Bottleneck(n, width, cardinality=cardinality, base_width=base_width, stride=s)
                    for n, s in shapes
                )
            )

        self.conv_1_3x3 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn_1 = nn.BatchNorm2d(64)
        self.stage_1 = stage(64, 64, 1)
        self.stage_2 = stage(64 * EXPANSION, 128, 2)
        self.stage_3 = stage(128 * EXPANSION, 256, 2)
        self.classifier = nn.Linear(256 * EXPANSION, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] -> logits [B,K]."""
        x = F.relu(self.bn_1(self.conv_1_3x3(x)))
        x = self.stage_3(self.stage_2(self.stage_1(x)))
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits
