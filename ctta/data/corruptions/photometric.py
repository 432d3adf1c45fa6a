"""Brightness and saturation in HSV (the hexcone), contrast about each channel's mean."""

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params


def draw_nothing(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """No random number is needed."""
    return {}


draw_brightness = draw_contrast = draw_saturate = draw_nothing


def apply_brightness(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """V + c, cut to the unit range."""
    return change_hsv(images, 1, 0, params[0])


def apply_saturate(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """S times a factor plus a shift, cut to the unit range.

    With a shift grey pixels, whose hue is 0 by convention, turn red: as in the published sets.
    """
    factor, shift = params
    return change_hsv(images, factor, shift, 0)


def change_hsv(images: Tensor, factor: float, shift: float, lift: float) -> Tensor:
    """Saturation times `factor` plus `shift` and value plus `lift`, cut to the unit range."""
    if images.device.type == "cpu":
        from ctta.data.corruptions import pointwise

        changed = pointwise.change_hsv(images.numpy(), float(factor), float(shift), float(lift))
        return torch.from_numpy(changed)
    return change_hsv_at_once(images, factor, shift, lift)


def change_hsv_at_once(images: Tensor, factor: float, shift: float, lift: float) -> Tensor:
    """The torch form, for other devices."""
    hue, saturation, value = rgb_to_hsv(to_unit(images))
    saturation = (saturation * factor + shift).clamp_(0, 1)
    return to_uint8(hsv_to_rgb(hue, saturation, (value + lift).clamp_(0, 1)))


def apply_contrast(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """(x - mean) c + mean, one mean for each image and channel."""
    x = to_unit(images)
    # A sum of integers is exact, so neither batch nor threads can move the mean.
    total = images.sum(dim=(2, 3), keepdim=True, dtype=torch.int64)
    mean = total.double() / (255 * images.shape[2:].numel())
    return to_uint8((x - mean).mul_(params[0]).add_(mean))


def rgb_to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value in [0, 1], each [B, H, W], of x [B, 3, H, W] in [0, 1]."""
    r, g, b = x.unbind(1)
    value = x.amax(1)
    spread = value - x.amin(1)
    # A grey pixel has hue and saturation 0; dividing by 1 there keeps them so.
    safe = torch.where(spread == 0, 1.0, spread)
    hue = torch.where(
        b == value,
        4 + (r - g) / safe,
        torch.where(g == value, 2 + (b - r) / safe, (g - b) / safe),
    )
    hue = torch.where(spread == 0, 0.0, (hue / 6).remainder_(1))
    return hue, spread / torch.where(value == 0, 1.0, value), value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `rgb_to_hsv`: [B, 3, H, W]."""
    sector = (hue * 6).floor()
    f = hue * 6 - sector
    p = value * (1 - saturation)
    q = value * (1 - f * saturation)
    t = value * (1 - (1 - f) * saturation)
    choices = torch.stack((value, t, p, q))
    # For sectors 0..5, which of (value, t, p, q) goes to red, green and blue.
    table = torch.tensor(
        [[0, 3, 2, 2, 1, 0], [1, 0, 0, 3, 2, 2], [2, 2, 1, 0, 0, 3]], device=hue.device
    )
    which = table[:, sector.to(torch.int64) % 6]
    return choices.gather(0, which).transpose(0, 1)
