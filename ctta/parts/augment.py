"""The augmentation chain of CoTTA and its descendants.

Source: qinenergy/cotta at c212a204, ``cifar/my_transforms.py`` and ``cifar/cotta.py``. All draws
but the pixel noise are common to the images of a batch. `view_stages` is the chain as torchvision
computes it, on images padded to twice their side; here only the pixels that the final crop leaves
are computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BRIGHTNESS, CONTRAST, SATURATION, HUE, GAMMA = range(5)
FACTOR_RANGES = ((0.6, 1.4), (0.7, 1.3), (0.5, 1.5), (-0.06, 0.06), (0.7, 1.3))
ANGLE = 15.0  # degrees either way
SHIFT = 1 / 16  # of the padded side, either way
SCALE = (0.9, 1.1)
SIGMA = (0.001, 0.5)
NOISE_STD = 0.005


@dataclass(frozen=True)
class ViewDraws:
    """The random numbers of one view.

    Attributes:
        order: the colour operations in the order applied.
        factor: one number an operation, by operation.
        angle: degrees.
        shift: whole pixels, right and down.
        scale: factor.
        sigma: of the blur in pixels; None leaves the blur out.
        flip: mirror left and right.
        noise: [B,C,H,W] to be added, or None.
    """

    order: tuple[int, ...]
    factor: tuple[float, ...]
    angle: float
    shift: tuple[int, int]
    scale: float
    sigma: float | None
    flip: bool
    noise: Tensor | None


class Augmentation:
    """Draws views of a batch [B,3,S,S] in [0,1] from a generator of its own.

    Args:
        generator: where every draw comes from.
        padding: at the borders; ROID and CMF reflect.
        blur: blur the view; ROID and CMF do not.
        noise: add noise to its pixels; ROID and CMF do not.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        padding: str = "replicate",
        blur: bool = True,
        noise: bool = True,
    ) -> None:
        self.generator = generator
        self.padding, self.blur, self.noise = padding, blur, noise

    def __call__(self, x: Tensor) -> Tensor:
        """One new view of the whole batch."""
        return apply_view(x, self.draw(x), padding=self.padding)

    def draw(self, x: Tensor) -> ViewDraws:
        """The random numbers of the next view of ``x``."""
        order = tuple(torch.randperm(5, generator=self.generator).tolist())
        by_operation = {op: self.uniform(*FACTOR_RANGES[op]) for op in order}
        reach = SHIFT * 2 * x.shape[-1]
        return ViewDraws(
            order=order,
            factor=tuple(by_operation[op] for op in range(5)),
            angle=self.uniform(-ANGLE, ANGLE),
            shift=(round(self.uniform(-reach, reach)), round(self.uniform(-reach, reach))),
            scale=self.uniform(*SCALE),
            sigma=self.uniform(*SIGMA) if self.blur else None,
            flip=self.uniform(0, 1) < 0.5,
            noise=self.drawn_noise(x) if self.noise else None,
        )

    def drawn_noise(self, x: Tensor) -> Tensor:
        """What is added to each pixel of ``x``."""
        return torch.randn(x.shape, generator=self.generator).mul_(NOISE_STD).to(x)

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def state_dict(self) -> dict[str, Tensor]:
        """The generator's state."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on drawing where the saved one stood."""
        self.generator.set_state(state["generator"].cpu())


def apply_view(x: Tensor, draws: ViewDraws, *, padding: str = "replicate") -> Tensor:
    """The view of ``x`` [B,3,S,S] that ``draws`` describe.

    Args:
        x: images; what is outside of [0,1] is clipped.
        draws: the random numbers.
        padding: ``replicate`` or ``reflect``; what lies up to S/2 pixels outside of the image.

    Raises:
        ValueError: images that are not square with three channels, or an unknown padding.
    """
    if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3] or x.shape[3] < 2:
        raise ValueError(f"views: expected images [B,3,S,S], S from 2, got {list(x.shape)}")
    if padding not in ("replicate", "reflect"):
        raise ValueError(f"padding: expected replicate or reflect, got {padding!r}")
    taps = blur_taps(draws.sigma, negligible=torch.finfo(x.dtype).eps / 16)
    pixels, weights = affine_taps(x, draws, padding, reach=len(taps) - 1)
    view = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = images_at_once(x)
    for start in range(0, len(x), block):
        images = x[start : start + block].clamp(0, 1)
        for operation in draws.order:
            adjust_colour_(images, operation, draws.factor[operation])
        view[start : start + block] = warped(images, pixels, weights, taps)
    if draws.noise is not None:
        view.add_(draws.noise)
    return view.clamp_(0, 1)


def images_at_once(x: Tensor) -> int:
    """On a CPU a block of [B,C,S,S] whose temporaries stay in the cache; else all."""
    return max(16, 50_000 // x.shape[-1] ** 2) if x.device.type == "cpu" else max(1, len(x))


def adjust_colour_(x: Tensor, operation: int, factor: float) -> None:
    """One colour operation on [B,3,H,W] in [0,1]."""
    if operation == BRIGHTNESS:
        x.mul_(factor).clamp_(0, 1)
    elif operation == CONTRAST:
        mean = grey(x).mean(dim=(1, 2, 3), keepdim=True)
        x.mul_(factor).add_((1 - factor) * mean).clamp_(0, 1)
    elif operation == SATURATION:
        rest = grey(x).mul_(1 - factor)
        x.mul_(factor).add_(rest).clamp_(0, 1)
    elif operation == HUE:
        turn_hue_(x, factor)
    elif operation == GAMMA:
        x.clamp_(min=1e-8).pow_(factor).clamp_(max=1)
    else:
        raise ValueError(f"expected a colour operation 0 to 4, got {operation}")


def grey(x: Tensor) -> Tensor:
    """Luma [B,1,H,W] of [B,3,H,W]."""
    red, green, blue = x.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


def turn_hue_(x: Tensor, turn: float) -> None:
    """Turn the hue of [B,3,H,W] in [0,1] by a share of the circle.

    In float32 whatever ``x`` is, and with torchvision's roundings: a gamma below 1 that follows
    makes much of a small difference at black. No `torch.where`, which is 20 times slower on a CPU
    than a product.
    """
    rgb = x.float()
    top = rgb.amax(1)
    chroma = top - rgb.amin(1)
    tiny = torch.finfo(torch.float32).tiny  # greys divide 0 by it
    saturation = chroma / top.clamp(min=tiny)
    # How far each channel lies below the largest one, as a share of the chroma.
    red, green, blue = (top[:, None] - rgb).div_(chroma.clamp_(min=tiny)[:, None]).unbind(1)
    is_red = red.clone().eq_(0)
    is_green = green.clone().eq_(0).mul_(1 - is_red)
    is_blue = 1 - is_red - is_green
    # The hue runs from 0 to 6; pure red is 0, green 2, blue 4.
    hue = is_red.mul_(blue - green)
    hue += is_green.mul_(2 + red - blue)
    hue += is_blue.mul_(4 + green - red)
    hue.div_(6).add_(1).frac_().add_(turn)
    hue.sub_(hue.floor()).mul_(6)
    # The shares again, of the new hue.
    shares = (
        torch.minimum(hue - 1, 5 - hue),
        torch.maximum(1 - hue, hue - 3),
        torch.maximum(3 - hue, hue - 5),
    )
    for channel, share in enumerate(shares):
        x[:, channel] = (1 - share.clamp_(0, 1).mul_(saturation)).mul_(top)


def warped(x: Tensor, pixels: Tensor, weights: Tensor, taps: list[float]) -> Tensor:
    """[B,C,S,S] through an affine map and a blur that all images share.

    A pixel of the result is a few weighted rows of the images as [S*S, B*C]: four of them make the
    affine map, the neighbours of these the blur.
    """
    n, channels, side, _ = x.shape
    columns = n * channels
    rows = x.reshape(columns, side * side).t().contiguous()
    moved = F.embedding_bag(pixels, rows, per_sample_weights=weights, mode="sum")
    wide = side + 2 * (len(taps) - 1)
    result = blur(moved.view(wide, wide, columns), taps)
    return result.view(side * side, columns).t().view(x.shape)


def affine_taps(x: Tensor, draws: ViewDraws, padding: str, *, reach: int) -> tuple[Tensor, Tensor]:
    """Padding, affine map, crop to the centre and flip: pixels of ``x`` and weights, [n*n, 4].

    Args:
        x: [B,C,S,S].
        draws: angle, shift, scale and flip.
        padding: ``replicate`` or ``reflect``.
        reach: pixels around the centre that are needed as well; n = S + 2 reach.
    """
    side = x.shape[-1]
    half = side // 2
    padded = side + 2 * half
    # What is blurred is the padded image, reflected at its borders; few images are small enough.
    places = torch.arange(half - reach, half + side + reach, device=x.device)
    places = reflected(places, padded)
    down = right = places.to(x.dtype) + (0.5 - padded / 2)
    if draws.flip:
        right = right.flip(0)
    # The inverse map, to coordinates in [-1,1] with torchvision's roundings.
    turn = math.radians(draws.angle)
    cos, sin = math.cos(turn) / draws.scale, math.sin(turn) / draws.scale
    to_right, to_down = draws.shift
    matrix = [cos, sin, -cos * to_right - sin * to_down, -sin, cos, sin * to_right - cos * to_down]
    a, b, c, d, e, f = (torch.tensor(matrix, dtype=x.dtype) / (padded / 2)).tolist()
    columns, across = neighbours(a * right + b * down[:, None] + c, padded)
    rows, along = neighbours(d * right + e * down[:, None] + f, padded)
    inside = reflected if padding == "reflect" else clamped
    columns, rows = inside(columns - half, side), inside(rows - half, side)
    index = rows[..., :, None] * side + columns[..., None, :]
    weight = (along[..., :, None] * across[..., None, :]).view(-1, 4)
    # Outside of the padded image is black, and torchvision fades to it twice.
    return index.view(-1, 4), weight * weight.sum(1, keepdim=True)


def neighbours(coordinates: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two pixels beside each coordinate and their weights, both [...,2].

    Args:
        coordinates: from -1 to 1, edge to edge.
        size: of the image; pixels outside of it have weight 0.
    """
    # Rounded once, as by the fused multiply-add of torch's own sampling.
    coordinates = ((coordinates + 1).double() * (size / 2) - 0.5).to(coordinates.dtype)
    first = coordinates.floor()
    share = coordinates - first
    pixels = torch.stack([first, first + 1], -1)
    weights = torch.stack([1 - share, share], -1)
    weights = weights.where((pixels >= 0) & (pixels < size), 0)
    return pixels.clamp(0, size - 1).long(), weights


def clamped(places: Tensor, size: int) -> Tensor:
    """Places on a line of ``size`` pixels whose ends go on for ever."""
    return places.clamp(0, size - 1)


def reflected(places: Tensor, size: int) -> Tensor:
    """Places on a line of ``size`` pixels that goes on mirrored, once, about its end pixels."""
    return (size - 1) - ((size - 1) - places.abs()).abs()


def blur_taps(sigma: float | None, *, negligible: float) -> list[float]:
    """Half of the Gaussian of 5 pixels, centre first, without what is negligible beside 1."""
    if sigma is None:
        return [1.0]
    heights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(3)]
    total = heights[0] + 2 * sum(heights[1:])
    return [height / total for height in heights if height / total > negligible]


def blur(x: Tensor, taps: list[float]) -> Tensor:
    """[n,n,...] with each pixel's neighbours mixed in; the rim is used up."""
    reach = len(taps) - 1
    for dim in (0, 1) if reach else ():
        n = x.shape[dim] - 2 * reach
        result = x.narrow(dim, reach, n) * taps[0]
        for i, tap in enumerate(taps[1:], 1):
            result.add_(x.narrow(dim, reach - i, n), alpha=tap)
            result.add_(x.narrow(dim, reach + i, n), alpha=tap)
        x = result
    return x
