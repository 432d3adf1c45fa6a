"""The normal quantile as a table: normals that are the same bits on every device.

A 32-bit word gives a sign and m = 2 * (low 31 bits) + 1, so p = m / 2**33 lies in (0, 1/2). Each
octave of p is cut in 256 equal parts and the quantile is linear inside a part; the error stays
below 5e-6. Table entries and positions are short enough for every product to be exact in float64,
so that no device, compiler or fused multiply-add can change a bit. No logarithm is taken after
the table is made.
"""

from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PART_BITS: Final = 8
PARTS: Final = 1 << PART_BITS
OCTAVES: Final = 32
# Entries are multiples of 2**-GRID: at most 24 bits each, and the platforms' logarithms, which
# differ in the last of 53 bits, cannot move one.
GRID: Final = 21


@cache
def quantile_table() -> NDArray[np.float64]:
    """Quantiles at the 32 * 256 + 1 borders of the parts, from 2**-33 to 1/2."""
    quantile = NormalDist().inv_cdf
    borders = [
        (1 << octave) * (1 + part / PARTS) / 2**33
        for octave in range(OCTAVES)
        for part in range(PARTS)
    ]
    values = [quantile(p) for p in borders] + [0.0]
    return np.round(np.array(values) * 2**GRID) / 2**GRID


@cache
def _device_table(device: torch.device) -> Tensor:
    return torch.from_numpy(quantile_table()).to(device)


def normal_from_words(words: Tensor) -> Tensor:
    """Standard normals, float32, from int64 words in [0, 2**32) of any shape."""
    table = _device_table(words.device)
    m = ((words & 0x7FFFFFFF) << 1) | 1
    # frexp gives m = f * 2**e with f in [1/2, 1), exactly.
    mantissa, exponent = torch.frexp(m.to(torch.float64))
    position = (2 * mantissa - 1) * PARTS
    part = position.floor()
    index = (exponent.to(torch.int64) - 1) * PARTS + part.to(torch.int64)
    left = table[index]
    z = left + (position - part) * (table[index + 1] - left)
    return torch.where(words > 0x7FFFFFFF, -z, z).to(torch.float32)
