"""Between uint8 images and the unit range, as the reference scripts go: a cast truncates."""

from collections.abc import Mapping

import torch
from torch import Tensor

Draws = Mapping[str, Tensor]
"""The random numbers of one call, by name; the leading axis is the image (1: shared by all)."""


def to_unit(images: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """uint8 images as `u / 255` in `dtype`."""
    return images.to(dtype) / 255


def to_uint8(y: Tensor) -> Tensor:
    """`trunc(255 * clip(y, 0, 1))`: numpy's uint8 of a float truncates, it does not round."""
    if y.device.type == "cpu":
        from ctta.data.corruptions import pointwise

        return torch.from_numpy(pointwise.to_uint8(y.reshape(-1).numpy())).view(y.shape)
    return to_uint8_at_once(y)


def to_uint8_at_once(y: Tensor) -> Tensor:
    """The torch form, for other devices."""
    return (y.clamp(0, 1) * 255).to(torch.uint8)
