"""Spatter: drops of water (severities 1 to 3) or mud on the lens."""

from typing import Final

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.blur import gaussian_filter
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params

WATER: Final = (175 / 255, 238 / 255, 238 / 255)  # pale turquoise
MUD: Final = (63 / 255, 42 / 255, 20 / 255)


def draw_spatter(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`z`: standard normals, float32 [B, H, W]."""
    return {"z": rows.normal(*images.shape[2:])}


def apply_spatter(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """A smoothed noise layer cut at a threshold: lit at its rims (water) or opaque (mud)."""
    mean, std, sigma, threshold, strength, mud = params
    layer = gaussian_filter(mean + std * draws["z"].double(), sigma)
    if mud:
        cover = gaussian_filter((layer > threshold).double(), strength)
        cover = torch.where(cover < 0.8, 0.0, cover).float()[:, None]
        return to_uint8(to_unit(images, torch.float32) * (1 - cover) + cover * _colour(MUD, images))
    levels = (torch.where(layer < threshold, 0.0, layer) * 255).to(torch.int32).to(torch.uint8)
    light = levels.float() * _rims(levels)
    light = light / light.amax(dim=(1, 2), keepdim=True) * strength
    return to_uint8(to_unit(images, torch.float32) + light[:, None] * _colour(WATER, images))


def _rims(levels: Tensor) -> Tensor:
    from ctta.data.corruptions import liquid

    rims: Tensor = torch.from_numpy(liquid.rims(levels.cpu().numpy()))
    return rims.to(levels.device)


def _colour(rgb: tuple[float, float, float], images: Tensor) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32, device=images.device).reshape(3, 1, 1)
