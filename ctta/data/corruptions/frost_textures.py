"""Frost textures: the reference's photographs from a folder, or synthetic stand-ins.

The photographs are not shipped, for their origin is not stated. A stand-in has the size, the grey
quantiles, the spectrum's slope and the colours of its photograph; needles and dendrites are
missing, so error rates on synthetic frost are to be labelled as such.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ctta.counter import Rows

# The reference draws among the first five of its six files.
FILES: Final = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
QUANTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)
STREAM: Final = 0xF405  # of the counter: apart from every corruption's own


@dataclass(frozen=True)
class Look:
    """What is kept of one photograph."""

    rows: int
    columns: int
    greys: tuple[int, ...]  # at QUANTILES
    beta: float  # the power spectrum falls as frequency ** -beta
    slope: tuple[float, float, float]  # of R, G, B against the grey
    offset: tuple[float, float, float]
    rest: tuple[float, float, float]  # signed weight of an independent field in R, G, B


_FROST2: Final = Look(
    315, 560, (57, 141, 166, 195, 210, 222, 236, 245, 254), 2.2,
    (0.970, 1.005, 1.025), (0.1, -2.5, 2.4), (1.6, 1.0, -1.7),
)  # fmt: skip
LOOKS: Final = (
    Look(
        600, 900, (82, 97, 104, 118, 129, 142, 163, 177, 219), 2.2,
        (1.369, 0.900, 0.730), (-101.5, 31.3, 70.2), (10.9, -3.1, -7.9),
    ),
    _FROST2,
    _FROST2,  # the second and the third file hold the same pixels
    Look(
        350, 527, (23, 82, 104, 134, 152, 169, 199, 234, 254), 1.95,
        (0.984, 0.985, 1.030), (-11.8, 3.1, 8.7), (1.7, 1.4, -2.3),
    ),
    Look(
        495, 660, (26, 45, 60, 92, 119, 151, 203, 238, 255), 2.05,
        (1.030, 1.004, 0.966), (-14.9, -0.6, 15.4), (1.4, 0.5, -1.5),
    ),
)  # fmt: skip


@cache
def textures(folder: Path | None, shrink: int, rows: int, columns: int) -> tuple[Tensor, ...]:
    """The five textures, uint8 [3, R, C], every `shrink`-th pixel, at least rows x columns.

    Bilinear reduction by 1/5 without smoothing, the reference's, lands on every fifth pixel from
    the third on. A texture smaller than asked for is repeated. Raises ValueError for a folder
    without the five files.
    """
    sheets = [_synthetic(i) for i in range(len(LOOKS))] if folder is None else _read(folder)
    return tuple(_prepare(sheet, shrink, rows, columns) for sheet in sheets)


def _prepare(sheet: NDArray[np.uint8], shrink: int, rows: int, columns: int) -> Tensor:
    small = sheet[shrink // 2 :: shrink, shrink // 2 :: shrink]
    down, across = -(-rows // small.shape[0]), -(-columns // small.shape[1])
    tiled = np.tile(small, (down, across, 1))
    return torch.from_numpy(np.ascontiguousarray(tiled.transpose(2, 0, 1)))


def _read(folder: Path) -> list[NDArray[np.uint8]]:
    sheets = []
    for name in FILES:
        try:
            sheets.append(np.asarray(Image.open(folder / name).convert("RGB")))
        except (OSError, UnidentifiedImageError) as error:
            raise ValueError(
                f"texture_dir must hold {', '.join(FILES)} of the ImageNet-C scripts; "
                f"{folder / name} cannot be read ({error}); leave texture_dir out for synthetic "
                "textures"
            ) from error
    return sheets


@cache
def _synthetic(which: int) -> NDArray[np.uint8]:
    look = LOOKS[which]
    # Twin files are one texture: the number of the first stands for both.
    draws = Rows(torch.tensor([LOOKS.index(look)]), stream=STREAM)
    fields = draws.normal(2, look.rows, look.columns)[0].double().numpy()
    grey_field, rest_field = (_shape_spectrum(field, look.beta) for field in fields)
    rank = np.empty(grey_field.size)
    rank[grey_field.argsort(axis=None, kind="stable")] = np.linspace(0, 100, grey_field.size)
    grey = np.interp(rank, QUANTILES, look.greys).reshape(grey_field.shape)[..., None]
    unit = (rest_field / rest_field.std())[..., None]
    colours = grey * look.slope + np.array(look.offset) + unit * np.array(look.rest)
    sheet: NDArray[np.uint8] = np.clip(colours, 0, 255).astype(np.uint8)
    return sheet


def _shape_spectrum(field: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    rows, columns = field.shape
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))
    frequency[0, 0] = np.inf  # the mean is removed
    return np.fft.irfft2(np.fft.rfft2(field) * frequency ** (-beta / 2), s=(rows, columns))
