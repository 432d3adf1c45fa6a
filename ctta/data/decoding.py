"""Image files as uint8 tensors: decoded by several threads, each image by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ctta.data.images import Pixels

Item = TypeVar("Item")


@dataclass(frozen=True)
class View:
    """What is seen of a file: resized by Pillow, then the centre.

    Attributes:
        resize: the shorter side, or (H, W), or None.
        crop: side of the centre that is kept; None: the image must have ``expected`` already.
        expected: side without a crop.
        interpolation: of the resizing, ``bilinear`` or ``bicubic``.

    Raises:
        ValueError: another interpolation.
    """

    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    expected: int = 224
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                f"interpolation: expected bilinear or bicubic, got {self.interpolation!r}"
            )

    def __str__(self) -> str:
        resized = "" if self.resize is None else f"resize {self.resize} {self.interpolation}, "
        return f"{resized}{'as stored' if self.crop is None else f'centre crop {self.crop}'}"

    def __call__(self, image: Image.Image) -> Tensor:
        """uint8 [3,H,W].

        Raises:
            ValueError: a stored size that is not the expected one.
        """
        from torchvision.transforms import functional as F

        if self.resize is not None:
            size = self.resize if isinstance(self.resize, int) else list(self.resize)
            image = F.resize(image, size, F.InterpolationMode(self.interpolation))
        if self.crop is not None:
            image = F.center_crop(image, self.crop)
        elif image.size != (self.expected, self.expected):
            raise ValueError(
                f"expected {self.expected}x{self.expected} pixels, got "
                f"{image.size[0]}x{image.size[1]}"
            )
        pixels: Tensor = F.pil_to_tensor(image)
        return pixels


class ImageFiles(Pixels):
    """Images of one size from files.

    Args:
        folder: that the names are relative to.
        names: of the files, with slashes.
        view: what is seen of each.
        remedy: what to do about a file that is not fit, as the end of a message.
        workers: threads that decode; the images and their order are the same for any number.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], *, view: View, remedy: str, workers: int
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        self.folder, self.names, self.view, self.remedy = folder, names, view, remedy
        self.workers = workers

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.workers)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 [n,3,H,W]."""
        return self.stacked(self.one, [self.names[i] for i in indices])

    def stacked(self, make: Callable[[Item], Tensor], items: Sequence[Item]) -> Tensor:
        """``make`` of each item [n,3,H,W], in their order; the workers share them."""
        if self.workers == 1:
            return torch.stack([make(item) for item in items])
        return torch.stack(list(self._pool.map(make, items)))  # Pillow frees the GIL

    def one(self, name: str, view: Callable[[Image.Image], Tensor] | None = None) -> Tensor:
        """uint8 [3,H,W] of one file; ``view`` instead of the own one.

        Raises:
            ValueError: no such file, or none that can be decoded.
        """
        path = self.folder / name
        try:
            with Image.open(path) as image:
                return (view or self.view)(image.convert("RGB"))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; {self.remedy}") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).replace(str(path), "it").split())
            raise ValueError(f"{path}: cannot be decoded ({reason}); {self.remedy}") from None

    def require_all(self) -> None:
        """Raises ValueError for the first file that is not there."""
        for name in self.names:
            if not (self.folder / name).is_file():
                raise ValueError(f"{self.folder / name}: no such file; {self.remedy}")


def names_sha256(names: Sequence[str], labels: NDArray[np.int64]) -> str:
    """SHA-256 over the names of files and their labels."""
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()
