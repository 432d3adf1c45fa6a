"""The generator compiled for the CPU by Numba: bit-equal to the torch form, several times faster.

Imported at the first draw only, so that `import ctta` does not pay for the compiler.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from ctta.counter.interruption import without_interruption
from ctta.counter.normal import PART_BITS
from ctta.counter.philox import MULTIPLIERS, ROUNDS, WEYL
from ctta.counter.poisson import GUIDE_BITS

Words = NDArray[np.uint32]

_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_W0, _W1 = np.uint32(WEYL[0]), np.uint32(WEYL[1])
_HALF = np.uint64(32)
_LANES = 64  # blocks at a time: the counters stay in registers and the nearest cache

# A float64 cut into exponent and PART_BITS leading bits, the index of a normal, and the rest.
_PART_BITS, _REST_BITS = np.uint64(PART_BITS), np.uint64(52 - PART_BITS)
_REST, _ONE = np.uint64((1 << 52 - PART_BITS) - 1), np.uint64(1023 << 52)
_FIRST, _NEXT = np.uint64(1023 << PART_BITS), np.uint64(1)
_BELOW_SIGN = np.uint32(0x7FFFFFFF)


def for_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled form of a function; without Python's lock, kept on disk."""
    outer = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(kept_in(Path(function.__code__.co_filename).parent, outer))
    try:
        dispatcher = numba.njit(cache=True, nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = outer
    dispatcher.compile = without_interruption(dispatcher.compile)
    return cast(Callable[..., Any], dispatcher)


@cache
def kept_in(folder: Path, outer: str = "") -> Path:
    """Where the compiled functions of a source folder are kept: another place after each edit.

    Numba looks at the function's own file alone, yet what it calls and the constants that it reads,
    here and beside it, are compiled into it.
    """
    sources = sorted({*folder.glob("*.py"), *Path(__file__).parent.glob("*.py")})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return Path(outer or folder / "__pycache__") / f"compiled-{digest[:16]}"


def _philox(c0: Words, c1: Words, c2: Words, c3: Words, key0: int, key1: int) -> None:
    """Ten rounds in place, a round over all the counters before the next: so it is vectorised."""
    k0, k1 = np.uint32(key0), np.uint32(key1)
    for _ in range(ROUNDS):
        for i in range(len(c0)):
            p0, p1 = np.uint64(c0[i]) * _M0, np.uint64(c2[i]) * _M1
            c0[i] = np.uint32(p1 >> _HALF) ^ c1[i] ^ k0
            c1[i] = np.uint32(p1)
            c2[i] = np.uint32(p0 >> _HALF) ^ c3[i] ^ k1
            c3[i] = np.uint32(p0)
        k0, k1 = np.uint32(k0 + _W0), np.uint32(k1 + _W1)


philox = for_cpu(_philox)


def _row_words(ids: NDArray[np.int64], draw: int, n: int, key0: int, key1: int) -> Words:
    out = np.empty((len(ids), n), np.uint32)
    c0, c1 = np.empty(_LANES, np.uint32), np.empty(_LANES, np.uint32)
    c2, c3 = np.empty(_LANES, np.uint32), np.empty(_LANES, np.uint32)
    for row in range(len(ids)):
        low, high = np.uint32(ids[row]), np.uint32(ids[row] >> 32)
        for first in range(0, (n + 3) // 4, _LANES):
            for i in range(_LANES):
                c0[i], c1[i], c2[i], c3[i] = first + i, draw, low, high
            philox(c0, c1, c2, c3, key0, key1)
            place = out[row, 4 * first :]
            whole = min(_LANES, len(place) // 4)
            for i in range(whole):
                place[4 * i], place[4 * i + 1] = c0[i], c1[i]
                place[4 * i + 2], place[4 * i + 3] = c2[i], c3[i]
            if whole < _LANES:
                last = (c0[whole], c1[whole], c2[whole])
                for k in range(len(place) - 4 * whole):
                    place[4 * whole + k] = last[k]
    return out


def _normal_from_words(words: Words, table: NDArray[np.float64]) -> NDArray[np.float32]:
    rows, n = words.shape
    out = np.empty((rows, n), np.float32)
    for row in range(rows):
        line, result = words[row], out[row]
        for i in range(n):
            m = np.float64(np.int32(line[i] & _BELOW_SIGN)) * 2 + 1
            # The exact float64 of m = f * 2**octave: exponent and leading bits of f are the index.
            bits = np.float64(m).view(np.uint64)
            index = (bits >> _REST_BITS) - _FIRST
            rest = np.uint64(((bits & _REST) << _PART_BITS) | _ONE).view(np.float64) - 1
            left = table[index]
            z = left + rest * (table[index + _NEXT] - left)
            result[i] = -z if line[i] > _BELOW_SIGN else z
    return out


def _poisson_from_words(
    words: Words,
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


row_words = for_cpu(_row_words)
normal_from_words = for_cpu(_normal_from_words)
poisson_from_words = for_cpu(_poisson_from_words)
