"""Counter-based random numbers: the same id has the same draws in any batch, order or device.

Words, uniforms, integers, normals and Poisson counts are equal bit for bit on every device and in
both forms, the torch one and the one compiled for the CPU (`ctta.counter.compiled`).
"""

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ctta.counter.normal import normal_from_words, quantile_table
from ctta.counter.philox import philox4x32, row_words, split64
from ctta.counter.poisson import poisson_from_words, poisson_table

__all__ = ["Rows", "philox4x32", "row_words"]

STREAMS: Final = 1 << 24
DRAWS: Final = 1 << 8


class Rows:
    """One row of draws for each id; every call hands out the next draws of all the rows.

    `ids` is int64 [B], `stream` an integer in [0, 2**24) that separates uses, `seed` an integer
    taken modulo 2**64. The k-th call gives the same numbers whatever the other calls asked for.
    `compiled` is for tests: None takes the compiled form on the CPU and the torch form elsewhere.
    Raises ValueError for ids of another type or shape and for a stream out of range.
    """

    def __init__(
        self, ids: Tensor, *, stream: int, seed: int = 0, compiled: bool | None = None
    ) -> None:
        if ids.dtype != torch.int64 or ids.ndim != 1:
            raise ValueError(
                f"ids must be int64 of shape [B], got {ids.dtype} of shape {list(ids.shape)}; "
                "pass torch.arange(len(images)) or the images' own numbers"
            )
        if not 0 <= stream < STREAMS:
            raise ValueError(f"stream must be in 0..{STREAMS - 1}, got {stream}")
        self.ids = ids
        self.stream = stream
        self.seed = seed
        self.compiled = ids.device.type == "cpu" if compiled is None else compiled
        self._draw = 0

    def words(self, *shape: int) -> Tensor:
        """Uniform 32-bit words as int64 [B, *shape]."""
        n, draw = math.prod(shape), self._next_draw()
        if self.compiled:
            words = torch.from_numpy(self._compiled_words(draw, n).astype(np.int64))
        else:
            words = row_words(self.ids, draw, n, self.seed)
        return words.reshape(len(self.ids), *shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniforms in [0, 1) as float64 [B, *shape]: a word times 2**-32, exactly."""
        n, draw = math.prod(shape), self._next_draw()
        if self.compiled:
            uniform = torch.from_numpy(self._compiled_words(draw, n) * 2.0**-32)
        else:
            uniform = row_words(self.ids, draw, n, self.seed).to(torch.float64) * 2.0**-32
        return uniform.reshape(len(self.ids), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normals as float32 [B, *shape]; |z| <= 6.4, quantile error below 5e-6."""
        n, draw = math.prod(shape), self._next_draw()
        if self.compiled:
            from ctta.counter import compiled

            words = self._compiled_words(draw, n)
            normal = torch.from_numpy(compiled.normal_from_words(words, quantile_table()))
        else:
            normal = normal_from_words(row_words(self.ids, draw, n, self.seed))
        return normal.reshape(len(self.ids), *shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Uniform integers in [low, high) as int64 [B, *shape]; high - low at most 2**31."""
        if not 0 < high - low <= 1 << 31:
            raise ValueError(f"need 0 < high - low <= 2**31, got low {low} and high {high}")
        return low + ((self.words(*shape) * (high - low)) >> 32)

    def poisson(self, rates: tuple[float, ...], which: Tensor) -> Tensor:
        """Poisson counts as int32 in the shape of `which`, uint8 [B, ...]: the rate's index."""
        table, draw = poisson_table(rates), self._next_draw()
        n = math.prod(which.shape[1:])
        if self.compiled:
            from ctta.counter import compiled

            words = self._compiled_words(draw, n)
            rows = which.reshape(len(which), n).cpu().numpy()
            counts = torch.from_numpy(
                compiled.poisson_from_words(words, rows, table.thresholds, table.guide)
            )
        else:
            counts = poisson_from_words(
                row_words(self.ids, draw, n, self.seed), which.reshape(len(which), n), table
            )
        return counts.reshape(which.shape)

    def _next_draw(self) -> int:
        if self._draw == DRAWS:
            raise ValueError(f"a row holds {DRAWS} draws; use another stream")
        draw = self.stream * DRAWS + self._draw
        self._draw += 1
        return draw

    def _compiled_words(
        self, draw: int, n: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
        from ctta.counter import compiled

        words: np.ndarray[tuple[int, int], np.dtype[np.uint32]] = compiled.row_words(
            self.ids.cpu().numpy(), draw, n, *split64(self.seed)
        )
        return words
