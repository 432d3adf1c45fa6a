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
    return add_noise(images, draws["z"], params[0], by_level=False)


draw_speckle_noise = draw_gaussian_noise


def apply_speckle_noise(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """x + x c z."""
    return add_noise(images, draws["z"], params[0], by_level=True)


def add_noise(images: Tensor, z: Tensor, scale: float, *, by_level: bool) -> Tensor:
    """The images plus normals times `scale`, and times the value itself where `by_level`."""
    if images.device.type == "cpu":
        from ctta.data.corruptions import pointwise

        values, normals = images.reshape(-1).numpy(), z.expand(images.shape).reshape(-1).numpy()
        noisy = pointwise.add_noise(values, normals, scale, by_level)
        return torch.from_numpy(noisy).view(images.shape)
    return add_noise_at_once(images, z, scale, by_level=by_level)


def add_noise_at_once(images: Tensor, z: Tensor, scale: float, *, by_level: bool) -> Tensor:
    """The torch form, for other devices."""
    x = to_unit(images)
    noise = z.double() * scale
    return to_uint8((noise.mul_(x) if by_level else noise).add(x))


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
