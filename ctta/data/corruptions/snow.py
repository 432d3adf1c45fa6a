"""Snow: a zoomed, thresholded and motion-blurred noise layer over a whitened image."""

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.blur import clipped_zoom, motion_blur
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params


def draw_snow(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`z`: standard normals, float32 [B, H, W]; `angle`: degrees in [-135, -45), float64 [B]."""
    z = rows.normal(*images.shape[2:])
    return {"z": z, "angle": rows.uniform(1)[:, 0] * 90 - 135}


def apply_snow(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """keep x + (1 - keep) max(x, 1.5 grey + 0.5), plus the layer and the layer turned by 180."""
    mean, std, zoom, threshold, radius, sigma, keep = params
    layer = clipped_zoom((mean + std * draws["z"].double())[:, None], zoom)
    layer = to_uint8(torch.where(layer < threshold, 0.0, layer))
    layer = layer.expand(len(images), -1, -1, -1)
    flakes = motion_blur(layer, draws["angle"], int(radius), sigma)
    if images.device.type == "cpu":
        from ctta.data.corruptions import pointwise

        return torch.from_numpy(pointwise.add_snow(images.numpy(), flakes.numpy(), float(keep)))
    return add_snow_at_once(images, flakes, keep)


def add_snow_at_once(images: Tensor, layer: Tensor, keep: float) -> Tensor:
    """The torch form of the last step, for other devices: uint8 [B, 3, H, W] and [B, 1, H, W]."""
    flakes = to_unit(layer, torch.float32)
    x = to_unit(images, torch.float32)
    grey = (0.299 * x[:, :1] + 0.587 * x[:, 1:2]).add_(x[:, 2:], alpha=0.114)
    white = keep * x + (1 - keep) * torch.maximum(x, grey * 1.5 + 0.5)
    return to_uint8(white + flakes + flakes.flip(2, 3))
