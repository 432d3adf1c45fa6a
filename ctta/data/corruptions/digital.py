"""JPEG through Pillow (libjpeg-turbo) and pixelation as Pillow does it; both on the CPU."""

import io
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.pixels import Draws
from ctta.data.corruptions.table import Params


def draw_jpeg_compression(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """No random number is needed."""
    return {}


draw_pixelate = draw_jpeg_compression


def apply_jpeg_compression(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """To JPEG at a quality and back: 4:2:0 chroma, integer DCT, triangle upsampling."""
    return jpeg(images, int(params[0]))


def apply_pixelate(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """Down to int(side * factor) by Pillow's box means, rounded on each axis, and up again."""
    from ctta.data.corruptions import compiled

    height, width = images.shape[2:]
    small = int(height * params[0]), int(width * params[0])
    planes = images.cpu().flatten(0, 1).numpy()
    result = compiled.pixelate(
        planes, box_weights(height, small[0]), box_weights(width, small[1]), small
    )
    return torch.from_numpy(result).view(images.shape).to(images.device)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """The images after one JPEG round trip; uint8 [B, 3, H, W] in and out."""
    from ctta.data.corruptions import compiled

    height, width = images.shape[2:]
    pixels = np.zeros((height, width, 4), np.uint8)  # as Pillow stores RGB: copied at once
    result = np.empty(images.shape, np.uint8)
    # One canvas for all: no image is allocated twice, and no header is parsed for mode and size.
    canvas = Image.new("RGB", (width, height))
    for image, place in zip(images.cpu().contiguous().numpy(), result, strict=True):
        compiled.interleave(image, pixels)
        canvas.frombytes(pixels.data, "raw", "RGBX")
        file = io.BytesIO()
        canvas.save(file, "JPEG", quality=quality)
        canvas.frombytes(file.getvalue(), "jpeg", "RGB", "")
        compiled.deinterleave(np.asarray(canvas), place)
    return torch.from_numpy(result).to(images.device)


@cache
def box_weights(side: int, small: int) -> tuple[NDArray[np.signedinteger], ...]:
    """Pillow's box filter from `side` pixels to `small`: starts, counts, 22-bit weights, way up."""
    scale = side / small
    centre = (np.arange(small) + 0.5) * scale
    starts = np.maximum((centre - scale / 2 + 0.5).astype(np.int64), 0)
    ends = np.minimum((centre + scale / 2 + 0.5).astype(np.int64), side)
    counts = ends - starts
    offset = np.arange(counts.max())
    position = (offset + starts[:, None] - centre[:, None] + 0.5) / scale
    inside = (position > -0.5) & (position <= 0.5) & (offset < counts[:, None])
    weights = (0.5 + inside / inside.sum(1, keepdims=True) * (1 << 22)).astype(np.int32)
    way_up = ((np.arange(side) + 0.5) * (small / side)).astype(np.int64)
    return starts, counts, weights * inside, way_up
