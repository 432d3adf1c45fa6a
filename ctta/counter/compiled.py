"""The generator compiled for the CPU by Numba: bit-equal to the torch form, several times faster.

Imported at the first draw only, so that `import ctta` does not pay for the compiler.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from ctta.counter.normal import PART_BITS
from ctta.counter.philox import MULTIPLIERS, ROUNDS, WEYL
from ctta.counter.poisson import GUIDE_BITS

_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_W0, _W1 = np.uint64(WEYL[0]), np.uint64(WEYL[1])
_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    return cast(Callable[..., Any], numba.njit(cache=True, nogil=True)(function))


def _philox(c0: int, c1: int, c2: int, c3: int, key0: int, key1: int) -> tuple[int, int, int, int]:
    w0, w1, w2, w3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k0, k1 = np.uint64(key0), np.uint64(key1)
    for _ in range(ROUNDS):
        p0, p1 = w0 * _M0, w2 * _M1
        w0, w1 = (p1 >> _HALF) ^ w1 ^ k0, p1 & _MASK
        w2, w3 = (p0 >> _HALF) ^ w3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return w0, w1, w2, w3  # type: ignore[return-value]


philox = _compile(_philox)


def _row_words(
    ids: NDArray[np.int64], draw: int, n: int, key0: int, key1: int
) -> NDArray[np.uint32]:
    n_blocks = (n + 3) // 4
    out = np.empty((len(ids), 4 * n_blocks), np.uint32)
    for row in range(len(ids)):
        low = np.uint64(ids[row]) & _MASK
        high = np.uint64(ids[row]) >> _HALF
        for block in range(n_blocks):
            words = philox(block, draw, low, high, key0, key1)
            out[row, 4 * block] = words[0]
            out[row, 4 * block + 1] = words[1]
            out[row, 4 * block + 2] = words[2]
            out[row, 4 * block + 3] = words[3]
    return out[:, :n]


def _normal_from_words(
    words: NDArray[np.uint32], table: NDArray[np.float64]
) -> NDArray[np.float32]:
    rows, n = words.shape
    out = np.empty((rows, n), np.float32)
    for row in range(rows):
        for i in range(n):
            word = np.int64(words[row, i])
            m = ((word & 0x7FFFFFFF) << 1) | 1
            # The position of the leading bit, read from the exponent of the exact float64.
            octave = (np.float64(m).view(np.int64) >> 52) - 1023
            scaled = m << (31 - octave)
            index = (octave << PART_BITS) + ((scaled >> (31 - PART_BITS)) & ((1 << PART_BITS) - 1))
            rest = scaled & ((1 << (31 - PART_BITS)) - 1)
            left = table[index]
            z = left + np.float64(rest) / (1 << (31 - PART_BITS)) * (table[index + 1] - left)
            out[row, i] = -z if word > 0x7FFFFFFF else z
    return out


def _poisson_from_words(
    words: NDArray[np.uint32],
    which: NDArray[np.uint8],
    thresholds: NDArray[np.int64],
    guide: NDArray[np.int32],
) -> NDArray[np.int32]:
    rows, n = words.shape
    out = np.empty((rows, n), np.int32)
    for row in range(rows):
        for i in range(n):
            word = np.int64(words[row, i])
            rate = which[row, i]
            count = guide[rate, word >> (32 - GUIDE_BITS)]
            while thresholds[rate, count] <= word:
                count += 1
            out[row, i] = count
    return out


row_words = _compile(_row_words)
normal_from_words = _compile(_normal_from_words)
poisson_from_words = _compile(_poisson_from_words)
