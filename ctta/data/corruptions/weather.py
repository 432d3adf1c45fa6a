"""Fog (a plasma map) and frost (a crop of a texture laid over the image)."""

from pathlib import Path

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.frost_textures import textures
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params


def map_side(images: Tensor) -> int:
    """Side of the plasma map: the power of two that covers the image (32 at 32, 256 at 224)."""
    return 1 << (max(images.shape[2:]) - 1).bit_length()


def draw_fog(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`u`: uniforms in [-1, 1), float64 [B, M * M - 1], in the order the plasma takes them."""
    return {"u": rows.uniform(map_side(images) ** 2 - 1).mul_(2).sub_(1)}


def apply_fog(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """(x + s P) m / (m + s): P the plasma map, m the largest value of the image."""
    strength, decay = params
    fog = plasma(draws["u"], map_side(images), decay)
    if images.device.type == "cpu":
        from ctta.data.corruptions import pointwise

        return torch.from_numpy(pointwise.add_fog(images.numpy(), fog.numpy(), float(strength)))
    return add_fog_at_once(images, fog, strength)


def add_fog_at_once(images: Tensor, fog: Tensor, strength: float) -> Tensor:
    """The torch form of the last step, for other devices: `fog` [B, M, M] in [0, 1]."""
    x = to_unit(images)
    height, width = images.shape[2:]
    largest = x.amax(dim=(1, 2, 3), keepdim=True)
    return to_uint8(
        (x + strength * fog[:, None, :height, :width]).mul_(largest).div_(largest + strength)
    )


def plasma(u: Tensor, side: int, decay: float) -> Tensor:
    """Diamond-square heights on a torus, scaled to [0, 1]: float64 [B, side, side].

    `u` is in [-1, 1), [B, side * side - 1]: for each step the squares' centres, then the diamonds
    on the coarse rows, then those on the coarse columns. A draw weighs the amplitude squared, as
    in the reference: it multiplies a uniform that already has this range by it once more.
    """
    if u.device.type == "cpu":
        from ctta.data.corruptions import compiled

        return torch.from_numpy(compiled.plasma(u.numpy(), side, float(decay)))
    return plasma_at_once(u, side, decay)


def plasma_at_once(u: Tensor, side: int, decay: float) -> Tensor:
    """The torch form of `plasma`, for other devices."""
    batch = len(u)
    heights = u.new_zeros((batch, side, side), dtype=torch.float64)
    amplitude, step, used = 100.0, side, 0
    while step >= 2:
        half, n = step // 2, side // step
        noise = u[:, used : used + 3 * n * n].reshape(batch, 3, n, n) * (amplitude * amplitude)
        used += 3 * n * n
        corners = heights[:, ::step, ::step]
        across = corners + corners.roll(-1, 2)
        down = corners + corners.roll(-1, 1)
        centres = (across + across.roll(-1, 1)) / 4 + noise[:, 0]
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = (across + centres + centres.roll(1, 1)) / 4 + noise[:, 1]
        heights[:, half::step, ::step] = (down + centres + centres.roll(1, 2)) / 4 + noise[:, 2]
        step, amplitude = half, amplitude / decay
    heights -= heights.amin(dim=(1, 2), keepdim=True)
    return heights / heights.amax(dim=(1, 2), keepdim=True)


def draw_frost(
    rows: Rows, images: Tensor, params: Params, texture_dir: Path | None = None, shrink: int = 1
) -> dict[str, Tensor]:
    """`crop`: a random crop of a random texture, uint8 [B, 3, H, W].

    Textures come from `texture_dir` (frost1.png .. frost5.jpg of the reference repository) or are
    synthetic; every `shrink`-th pixel of them is used.
    """
    height, width = images.shape[2:]
    sheets = textures(texture_dir, shrink, height + 1, width + 1)
    index = rows.integers(0, len(sheets), 1)[:, 0].tolist()
    place = rows.uniform(2).tolist()
    crops = []
    for which, (down, across) in zip(index, place, strict=True):
        sheet = sheets[which]
        top = int(down * (sheet.shape[1] - height))
        left = int(across * (sheet.shape[2] - width))
        crops.append(sheet[:, top : top + height, left : left + width])
    crop = torch.stack(crops) if crops else torch.empty_like(images)
    return {"crop": crop.to(images.device)}


def apply_frost(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """a u + b T in 8-bit levels."""
    weight, texture_weight = params
    mixed = images.double().mul_(weight).add_(draws["crop"].double().mul_(texture_weight))
    return mixed.clamp_(0, 255).to(torch.uint8)
