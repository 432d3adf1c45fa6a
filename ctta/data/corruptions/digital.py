"""JPEG and pixelation as Pillow does them, image by image on the CPU."""

import io

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
    """To JPEG at a quality and back: 4:2:0 chroma, libjpeg-turbo in current Pillow wheels."""
    return jpeg(images, int(params[0]))


def apply_pixelate(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """Down to int(side * factor) by box means, rounded on each axis, and up again."""
    height, width = images.shape[2:]
    small = int(width * params[0]), int(height * params[0])
    results = []
    for image in _to_arrays(images):
        picture = Image.fromarray(image).resize(small, Image.Resampling.BOX)
        results.append(np.asarray(picture.resize((width, height), Image.Resampling.BOX)))
    return _to_tensor(results, images)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """The images after one JPEG round trip; uint8 [B, 3, H, W] in and out."""
    results = []
    for image in _to_arrays(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        results.append(np.asarray(Image.open(file)))
    return _to_tensor(results, images)


def _to_arrays(images: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())


def _to_tensor(results: list[NDArray[np.uint8]], like: Tensor) -> Tensor:
    stacked = np.stack(results) if results else np.empty((0, *like.shape[2:], 3), np.uint8)
    return torch.from_numpy(stacked).to(like.device).permute(0, 3, 1, 2).contiguous()
