"""The four noises. Every value of every channel is hit for itself, impulse noise too."""

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params


def draw_gaussian_noise(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`z`: standard normals, float32 [B, 3, H, W]."""
    return {"z": rows.normal(*images.shape[1:])}


def apply_gaussian_noise(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """x + c z."""
    return to_uint8(to_unit(images).add_(draws["z"].double() * params[0]))


draw_speckle_noise = draw_gaussian_noise


def apply_speckle_noise(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """x + x c z."""
    x = to_unit(images)
    return to_uint8((draws["z"].double() * params[0]).mul(x).add_(x))


def draw_shot_noise(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`counts`: Poisson counts of mean c u / 255, int32 [B, 3, H, W]."""
    return {"counts": rows.poisson(tuple(params[0] * u / 255 for u in range(256)), images)}


def apply_shot_noise(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """k / c."""
    return to_uint8(draws["counts"].double().div_(params[0]))


def draw_impulse_noise(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`hit` and `salt`: bool [B, 3, H, W]; half of the hit values are salted."""
    word = rows.words(*images.shape[1:])
    amount = round(params[0] * 2**32)
    return {"hit": word < amount, "salt": word < amount // 2}


def apply_impulse_noise(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """A hit value becomes white where it is salted, else black."""
    return torch.where(draws["hit"], draws["salt"].to(torch.uint8) * 255, images)
