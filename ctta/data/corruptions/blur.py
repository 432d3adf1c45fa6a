"""The five blurs. Sums run in a fixed order, element by element: the same in any batch."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params

FAINT: Final = 1e-9
HALF_STEP: Final = 1 / 514  # ImageMagick rounds at 16 bits, then truncates to 8


def gaussian_taps(sigma: float, truncate: float = 4.0) -> list[float]:
    """Weights at 0, 1, .. r with r = int(truncate * sigma + 1/2); the whole row sums to 1."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return [1.0]
    # numpy's own sum, as in scipy: its last bit decides whether flat areas lose a level.
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    taps: list[float] = (weights / weights.sum())[radius:].tolist()
    return taps


def separable(x: Tensor, taps: list[float], border: Callable[[Tensor, int], Tensor]) -> Tensor:
    """A symmetric filter over the last two axes of float64 x.

    `taps` are the weights at 0, 1, .. r; `border(index, n)` brings positions beyond 0..n-1 into it.
    """
    radius = len(taps) - 1
    height, width = x.shape[-2:]
    rows, columns = (
        border(torch.arange(-radius, n + radius, device=x.device), n) for n in (height, width)
    )
    if x.device.type == "cpu":
        from ctta.data.corruptions import compiled

        planes = x.contiguous().view(x.shape[:-2].numel(), height, width).numpy()
        filtered = compiled.separable(planes, np.array(taps), rows.numpy(), columns.numpy())
        return torch.from_numpy(filtered).view(x.shape)
    down = filter_rows(x, taps, rows).transpose(-1, -2)
    return filter_rows(down, taps, columns).transpose(-1, -2)


def filter_rows(x: Tensor, taps: list[float], index: Tensor) -> Tensor:
    """The torch form of one pass: down x, whose border rows `index` names."""
    radius, height = len(taps) - 1, x.shape[-2]
    padded = x.index_select(-2, index)
    total = x * taps[0]
    # The centre first, then pairs from the outside in: the order of scipy's sum.
    for k in range(radius, 0, -1):
        before = padded[..., radius - k : radius - k + height, :]
        after = padded[..., radius + k : radius + k + height, :]
        total = total + (before + after) * taps[k]
    return total


def gaussian_filter(x: Tensor, sigma: float, truncate: float = 4.0) -> Tensor:
    """Separable Gaussian over the last two axes, the border's pixels repeated (mode nearest)."""
    return separable(x, gaussian_taps(sigma, truncate), lambda index, n: index.clamp(0, n - 1))


def draw_gaussian_blur(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """No random number is needed."""
    return {}


draw_defocus_blur = draw_zoom_blur = draw_gaussian_blur


def apply_gaussian_blur(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """A Gaussian cut at four sigma."""
    return to_uint8(gaussian_filter(to_unit(images), params[0]))


@cache
def defocus_kernel(radius: float, sigma: float) -> Tensor:
    """A disc smoothed by a small Gaussian; not normalised again where the disc meets the border."""
    reach, width = (8, 1) if radius <= 8 else (int(radius), 2)
    line = torch.arange(-reach, reach + 1, dtype=torch.float32)
    disc = (line[:, None] ** 2 + line[None] ** 2 <= radius**2).float()
    disc /= disc.sum()
    weights = torch.exp(-0.5 * torch.arange(-width, width + 1, dtype=torch.float64) ** 2 / sigma**2)
    weights /= weights.sum()
    padded = F.pad(disc[None, None].double(), (width,) * 4, mode="reflect")[0, 0]
    down = (padded.unfold(0, 2 * width + 1, 1) * weights).sum(-1)
    return (down.unfold(1, 2 * width + 1, 1) * weights).sum(-1).float()


def apply_defocus_blur(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """Correlation with the smoothed disc, borders mirrored without repeating the edge."""
    kernel = defocus_kernel(*params)
    reach = len(kernel) // 2
    # The Gaussian's far ends cannot be seen in float32.
    rows, columns = (kernel > FAINT).nonzero(as_tuple=True)
    weights = kernel[rows, columns]
    padded = F.pad(to_unit(images, torch.float32), (reach,) * 4, mode="reflect")
    height, width = images.shape[2:]
    if images.device.type == "cpu":
        from ctta.data.corruptions import compiled

        planes = padded.flatten(0, 1).numpy()
        blurred = compiled.correlate(planes, rows.numpy(), columns.numpy(), weights.numpy(), reach)
        return to_uint8(torch.from_numpy(blurred).view(images.shape))
    return to_uint8(correlate_at_once(padded, rows, columns, weights)[:, :, :height, :width])


def correlate_at_once(padded: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of shifted planes, for other devices; only the top left part is whole."""
    total = torch.zeros_like(padded)
    for r, c, weight in zip(rows.tolist(), columns.tolist(), weights.tolist(), strict=True):
        total += padded.roll((-r, -c), (2, 3)) * weight
    return total


def draw_glass_blur(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`dxdy`: integers in [-d, d), int64 [B, passes, H - 2d, W - 2d, 2], bottom right first."""
    _, reach, passes = params
    d = int(reach)
    height, width = images.shape[2:]
    return {"dxdy": rows.integers(-d, d, int(passes), height - 2 * d, width - 2 * d, 2)}


def apply_glass_blur(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """Blur, copy from random neighbours pass by pass, blur."""
    sigma, reach, _ = params
    levels = to_uint8(gaussian_filter(to_unit(images), sigma))
    for dxdy in draws["dxdy"].unbind(1):
        levels = shuffle(levels, dxdy, int(reach))
    return to_uint8(gaussian_filter(to_unit(levels), sigma))


def shuffle(levels: Tensor, dxdy: Tensor, d: int) -> Tensor:
    """One pass of copies v[h, w] <- v[h + dy, w + dx] from the bottom right to the top left.

    The reference means to swap, but its right-hand sides are views, so it copies.
    """
    if levels.device.type == "cpu":
        from ctta.data.corruptions import compiled

        return torch.from_numpy(compiled.shuffle(levels.numpy(), dxdy.contiguous().numpy(), d))
    return shuffle_at_once(levels, dxdy, d)


def shuffle_at_once(levels: Tensor, dxdy: Tensor, d: int) -> Tensor:
    """The same without a loop over pixels.

    A pixel takes the new value of its source if the pass has already been there, else the old
    one; these chains are followed by doubling.
    """
    batch, _, height, width = levels.shape
    h = torch.arange(height - d, d, -1, device=levels.device)[:, None]
    w = torch.arange(width - d, d, -1, device=levels.device)[None]
    row, column = h + dxdy[..., 1], w + dxdy[..., 0]
    seen = (row > d) & (row <= height - d) & (column > d) & (column <= width - d)
    seen &= (row > h) | ((row == h) & (column > w))
    place = (h * width + w).reshape(1, -1).expand(len(dxdy), -1)
    identity = torch.arange(height * width, device=levels.device).repeat(len(dxdy), 1)
    target = (row * width + column).flatten(1)
    source = identity.scatter(1, place, target)
    following = identity.scatter(1, place, torch.where(seen.flatten(1), target, place))
    while True:
        further = following.gather(1, following)
        if torch.equal(further, following):
            break
        following = further
    source = source.gather(1, following).expand(batch, height * width)
    flat = levels.flatten(2)
    return flat.gather(2, source[:, None].expand(batch, 3, height * width)).reshape(levels.shape)


def draw_motion_blur(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`angle`: degrees in [-45, 45), float64 [B]."""
    return {"angle": rows.uniform(1)[:, 0] * 90 - 45}


def apply_motion_blur(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """A one-sided Gaussian line from every pixel, truncated in 8-bit levels."""
    return motion_blur(images, draws["angle"], int(params[0]), params[1])


def motion_blur(levels: Tensor, angle: Tensor, radius: int, sigma: float) -> Tensor:
    """ImageMagick's motion blur of uint8 [B, C, H, W], one angle in degrees for each image."""
    n = 2 * radius + 1
    weights = [math.exp(-0.5 * i * i / (sigma * sigma)) for i in range(n)]
    weights = [weight / sum(weights) for weight in weights]
    steps = motion_steps(angle.expand(len(levels)), n)
    if levels.device.type == "cpu":
        from ctta.data.corruptions import compiled

        float_weights = np.array(weights, np.float32)
        blurred = compiled.motion_blur(levels.numpy(), steps, float_weights, np.float32(HALF_STEP))
        return torch.from_numpy(blurred)
    return motion_blur_at_once(levels, steps, weights)


def motion_steps(angle: Tensor, n: int) -> NDArray[np.int64]:
    """The n pixels of each angle's line, counted down and to the right: [B, n, 2]."""
    radians = [math.radians(degrees) for degrees in angle.tolist()]
    directions = np.array([(math.sin(a), math.cos(a)) for a in radians]).reshape(-1, 1, 2)
    steps: NDArray[np.float64] = np.ceil(np.arange(n)[:, None] * directions - 0.5)
    return steps.astype(np.int64)


def motion_blur_at_once(levels: Tensor, steps: NDArray[np.int64], weights: list[float]) -> Tensor:
    """The torch form, for other devices: `steps` [B, n, 2] down and to the right, n weights."""
    n = len(weights)
    height, width = levels.shape[2:]
    padded = F.pad(levels.float(), (n,) * 4, mode="replicate")
    total = torch.full(levels.shape, HALF_STEP, dtype=torch.float32, device=levels.device)
    for image, border, line in zip(total, padded, steps.tolist(), strict=True):
        for (down, across), weight in zip(line, weights, strict=True):
            top, left = n + down, n + across
            image.add_(border[:, top : top + height, left : left + width], alpha=weight)
    return total.floor_().clamp_(0, 255).to(torch.uint8)


def clipped_zoom(x: Tensor, factor: float) -> Tensor:
    """The centre of x [B, C, H, W] enlarged by a factor, corner-aligned bilinear, cut to H x W."""
    sides = x.shape[2:]
    small = [math.ceil(side / factor) for side in sides]
    first = [(side - s) // 2 for side, s in zip(sides, small, strict=True)]
    crop = x[:, :, first[0] : first[0] + small[0], first[1] : first[1] + small[1]]
    large = [round(s * factor) for s in small]
    zoomed = F.interpolate(crop, large, mode="bilinear", align_corners=True)
    top, left = ((n - side) // 2 for n, side in zip(large, sides, strict=True))
    return zoomed[:, :, top : top + sides[0], left : left + sides[1]]


def apply_zoom_blur(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """The mean of the image and its enlargements; factor 1 is in the list, so it counts twice."""
    count = int(params[0])
    step = (1 + params[1]) - 1  # as numpy's arange steps: it decides how halves are rounded
    if images.device.type == "cpu":
        from ctta.data.corruptions import compiled

        height, width = images.shape[2:]
        rows, columns = zoom_lines(height, count, step), zoom_lines(width, count, step)
        blurred = compiled.zoom_blur(images.flatten(0, 1).numpy(), rows, columns)
        return torch.from_numpy(blurred).view(images.shape)
    return zoom_blur_at_once(images, count, step)


def zoom_blur_at_once(images: Tensor, count: int, step: float) -> Tensor:
    """The torch form, for other devices."""
    x = to_unit(images, torch.float32)
    total = x * 2
    for i in range(1, count):
        total += clipped_zoom(x, 1 + i * step)
    return to_uint8(total / (count + 1))


@cache
def zoom_lines(side: int, count: int, step: float) -> tuple[NDArray[Any], ...]:
    """Where `clipped_zoom` looks along one axis, for each factor but the first: [count - 1, side].

    The lower neighbours, the upper ones, the weights of the former and of the latter, float32.
    """
    lines = []
    for i in range(1, count):
        factor = 1 + i * step
        small = math.ceil(side / factor)
        large = round(small * factor)
        skipped = (large - side) // 2
        # Float32 all the way, as in torch's interpolation.
        scale = np.float32(small - 1) / np.float32(large - 1)
        position = np.arange(skipped, skipped + side, dtype=np.float32) * scale
        low = np.minimum(position.astype(np.int64), small - 1)
        part = np.clip(position - low.astype(np.float32), 0, 1)
        first = (side - small) // 2
        high = np.minimum(low + 1, small - 1)
        lines.append((first + low, first + high, 1 - part, part))
    return tuple(np.stack(column) for column in zip(*lines, strict=True))
