"""What a view is: the operations of torchvision one after the other, on whole padded images.

Source: qinenergy/cotta at c212a204, ``cifar/my_transforms.py`` and ``cifar/cotta.py``. Methods use
`augment.apply_view`, which computes the same pixels and no others.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as TF

from ctta.parts.augment import BRIGHTNESS, CONTRAST, GAMMA, HUE, SATURATION, ViewDraws

COLOURS = {
    BRIGHTNESS: TF.adjust_brightness,
    CONTRAST: TF.adjust_contrast,
    SATURATION: TF.adjust_saturation,
    HUE: TF.adjust_hue,
    GAMMA: lambda x, factor: TF.adjust_gamma(x.clamp(1e-8, 1), factor),
}


def view_stages(
    x: Tensor, draws: ViewDraws, *, padding: str = "replicate"
) -> Iterator[tuple[str, Tensor]]:
    """The chain on ``x`` [B,3,S,S], stage by stage, as (name, result)."""
    side = x.shape[-1]
    x = x.clamp(0, 1)
    yield "clip", x
    for operation in draws.order:
        x = COLOURS[operation](x, draws.factor[operation])
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
