"""The augmentation chain of CoTTA and its descendants, apart from its draws.

Source: qinenergy/cotta at c212a204, ``cifar/my_transforms.py`` and ``cifar/cotta.py``. All draws
but the pixel noise are common to the images of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as TF

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
        return NOISE_STD * torch.randn(x.shape, generator=self.generator).to(x)

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
    """The view of ``x`` [B,3,S,S] that ``draws`` describe."""
    for _, result in view_stages(x, draws, padding=padding):
        x = result
    return x


def view_stages(
    x: Tensor, draws: ViewDraws, *, padding: str = "replicate"
) -> Iterator[tuple[str, Tensor]]:
    """The chain, stage by stage, as (name, result)."""
    side = x.shape[-1]
    x = x.clamp(0, 1)
    yield "clip", x
    for operation in draws.order:
        x = adjust_colour(x, operation, draws.factor[operation])
    yield "colour", x
    half = side // 2
    x = F.pad(x, (half, half, half, half), mode=padding)
    yield "pad", x
    x = TF.affine(
        x,
        angle=draws.angle,
        translate=list(draws.shift),
        scale=draws.scale,
        shear=[0.0, 0.0],
        interpolation=TF.InterpolationMode.BILINEAR,
        fill=[0.0],
    )
    yield "affine", x
    if draws.sigma is not None:
        x = TF.gaussian_blur(x, [5, 5], [draws.sigma, draws.sigma])
        yield "blur", x
    x = TF.center_crop(x, [side, side])
    yield "crop", x
    if draws.flip:
        x = x.flip(-1)
    yield "flip", x
    if draws.noise is not None:
        x = x + draws.noise
    yield "noise", x
    yield "clip again", x.clamp(0, 1)


def adjust_colour(x: Tensor, operation: int, factor: float) -> Tensor:
    """One colour operation on [B,3,H,W] in [0,1]."""
    if operation == BRIGHTNESS:
        return (factor * x).clamp(0, 1)
    if operation == CONTRAST:
        mean = grey(x).mean(dim=(1, 2, 3), keepdim=True)
        return (factor * x + (1 - factor) * mean).clamp(0, 1)
    if operation == SATURATION:
        return (factor * x + (1 - factor) * grey(x)).clamp(0, 1)
    if operation == HUE:
        turned: Tensor = TF.adjust_hue(x, factor)
        return turned
    if operation == GAMMA:
        return x.clamp(1e-8, 1).pow(factor).clamp(0, 1)
    raise ValueError(f"expected a colour operation 0 to 4, got {operation}")


def grey(x: Tensor) -> Tensor:
    """Luma [B,1,H,W] of [B,3,H,W]."""
    weights = x.new_tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
    return (weights * x).sum(1, keepdim=True)
