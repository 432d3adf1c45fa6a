"""The 15 + 4 common corruptions of Hendrycks & Dietterich (2019), batched, on the fly.

The draws of an image come from a counter (image id, corruption, severity, corruption seed): the
same image has the same draws in any batch, any order and on any device, and the same pixels on one
kind of device.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.table import CORRUPTIONS, TABLES, VALIDATION_CORRUPTIONS, Params

__all__ = ["CORRUPTIONS", "RECIPE_VERSION", "TABLES", "VALIDATION_CORRUPTIONS", "corrupt"]

RECIPE_VERSION: Final = 1
"""Changes whenever a pixel of any corruption can change; part of a data set's identity."""

SEVERITIES: Final = (1, 2, 3, 4, 5)
CIFAR_SIDE: Final = 64
ALL: Final = CORRUPTIONS + VALIDATION_CORRUPTIONS

# A module is loaded when one of its corruptions is first asked for.
_MODULES: Final = {
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "impulse_noise": "noise",
    "defocus_blur": "blur",
    "glass_blur": "blur",
    "motion_blur": "blur",
    "zoom_blur": "blur",
    "snow": "snow",
    "frost": "weather",
    "fog": "weather",
    "brightness": "photometric",
    "contrast": "photometric",
    "elastic_transform": "geometric",
    "pixelate": "digital",
    "jpeg_compression": "digital",
    "speckle_noise": "noise",
    "gaussian_blur": "blur",
    "spatter": "spatter",
    "saturate": "photometric",
}

DrawFunction = Callable[..., dict[str, Tensor]]
ApplyFunction = Callable[..., Tensor]


def functions(corruption: str) -> tuple[DrawFunction, ApplyFunction]:
    """`draw(rows, images, params)` and `apply(images, params, draws)` of one corruption."""
    module = import_module(f"{__name__}.{_MODULES[corruption]}")
    return getattr(module, f"draw_{corruption}"), getattr(module, f"apply_{corruption}")


def parameters(corruption: str, severity: int, table: str) -> Params:
    """One entry of the tables. Raises ValueError for a name or severity that is not in them."""
    if corruption not in ALL:
        raise ValueError(f"unknown corruption {corruption!r}; expected one of {', '.join(ALL)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")
    if table not in TABLES:
        raise ValueError(f"table must be one of {', '.join(TABLES)}, got {table!r}")
    return TABLES[table][corruption][severity - 1]


def corrupt(
    images_u8: Tensor,
    corruption: str,
    severity: int,
    *,
    image_ids: Tensor,
    seed: int = 0,
    table: str | None = None,
    jpeg85: bool = False,
    texture_dir: Path | None = None,
) -> Tensor:
    """The images under one corruption: uint8 [B, 3, H, W] in and out, on the images' device.

    `image_ids` int64 [B] and `seed` (the corruption seed) decide the draws. `table` is "cifar" or
    "imagenet"; None takes "cifar" up to a side of 64. `jpeg85` adds the JPEG compression at quality
    85 with which ImageNet-C was stored. `texture_dir` holds the reference's frost photographs;
    without it frost is synthetic. Raises ValueError for images, ids, names or numbers that do not
    fit.
    """
    _check_images(images_u8, image_ids)
    images_u8, image_ids = images_u8.contiguous(), image_ids.contiguous()
    height, width = images_u8.shape[2:]
    if table is None:
        table = "cifar" if max(height, width) <= CIFAR_SIDE else "imagenet"
    params = parameters(corruption, severity, table)
    draw, apply = functions(corruption)
    stream = ALL.index(corruption) * 8 + severity
    rows = Rows(image_ids.to(images_u8.device), stream=stream, seed=seed)
    if corruption == "frost":
        # The CIFAR script reduces the textures by 5 for a side of 32; larger sides less.
        shrink = max(1, 5 * 32 // max(height, width)) if table == "cifar" else 1
        draws = draw(rows, images_u8, params, texture_dir=texture_dir, shrink=shrink)
    else:
        draws = draw(rows, images_u8, params)
    result = apply(images_u8, params, draws)
    if jpeg85:
        from ctta.data.corruptions.digital import jpeg

        result = jpeg(result, 85)
    return result


def _check_images(images: Tensor, ids: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 [B, 3, H, W], got {images.dtype} {list(images.shape)}; convert "
            "float images in [0, 1] with (x * 255).round().to(torch.uint8)"
        )
    if min(images.shape[2:]) < 32:
        raise ValueError(f"images must be at least 32x32, got {list(images.shape[2:])}")
    if ids.dtype != torch.int64 or ids.shape != images.shape[:1]:
        raise ValueError(
            f"image_ids must be int64 [{len(images)}], one number for each image, got "
            f"{ids.dtype} {list(ids.shape)}"
        )
