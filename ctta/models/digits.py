"""The small convolutional classifier for the embedded data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ctta.models.source import ModelCard, SourceModel, weights_hash
from ctta.models.stages import stages_of


class TinyCNN(SourceModel):
    """Three times convolution 3x3 without bias, batch norm, ReLU; mean over the image; linear.

    Args:
        num_classes: K.
        in_channels: C.
        channels: of the three convolutions; the last is D.
        strides: of the three convolutions.
        bn_eps: added to the variances.
        side: H = W, for the card.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 32),
        strides: Sequence[int] = (1, 2, 2),
        bn_eps: float = 1e-5,
        side: int = 32,
    ) -> None:
        super().__init__()
        wide = (in_channels, *channels)
        for i in range(3):
            convolution = nn.Conv2d(
                wide[i], wide[i + 1], 3, stride=strides[i], padding=1, bias=False
            )
            setattr(self, f"conv{i + 1}", convolution)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(wide[i + 1], eps=bn_eps))
        self.fc = nn.Linear(wide[-1], num_classes)
        self.stages = stages_of(self, "fc")
        self.card = ModelCard(
            "tiny-cnn", (in_channels, side, side), num_classes, weights_hash(self)
        )

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """The linear layer."""
        return self.fc

    def features(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,D]."""
        for i in (1, 2, 3):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return x.mean(dim=(2, 3))
