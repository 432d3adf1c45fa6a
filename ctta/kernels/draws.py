"""Which elements a stochastic update chooses: the same on every device, grid, chunking and resume.

Elements are numbered in logical order: the tensors one after the other, row by row, without
padding. A block is 4,096 consecutive numbers and draws for itself, from Philox-4x32-10 words of
counter (block, word // 4, step, stream) and key seed. For a small probability the words are gaps
between chosen elements, so that the cost follows the probability; from 0.25 on, a word an element.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.counter.philox import MASK, philox4x32, split64

BLOCK: Final = 4096
DENSE_FROM: Final = 0.25
GUIDE_BITS: Final = 12
WORDS_AT_ONCE: Final = 64

RESTORE: Final = 1
"""The stream of stochastic restoration."""


@dataclass(frozen=True)
class Draw:
    """One Bernoulli draw over the elements of a sequence of tensors.

    Attributes:
        prob: of each element, in [0, 1].
        seed: an integer, taken modulo 2**64.
        step: counts the draws of one user, in [0, 2**32).
        stream: separates users of one seed, in [0, 2**32).

    Raises:
        ValueError: ``prob``, ``step`` or ``stream`` outside of its range.
    """

    prob: float
    seed: int
    step: int
    stream: int = RESTORE

    def __post_init__(self) -> None:
        if not 0 <= self.prob <= 1:
            raise ValueError(f"prob: expected a probability in [0, 1], got {self.prob}")
        if not (0 <= self.step <= MASK and 0 <= self.stream <= MASK):
            raise ValueError(
                f"step, stream: expected numbers in [0, 2**32), got {self.step}, {self.stream}"
            )

    @property
    def key(self) -> tuple[int, int]:
        """The seed's two words."""
        return split64(self.seed)

    @property
    def dense(self) -> bool:
        """A word an element, in place of gaps."""
        return self.prob >= DENSE_FROM

    @property
    def below(self) -> int:
        """T of the dense form: an element is chosen if its word is below it."""
        return math.floor(self.prob * 2**32 + 0.5)


@dataclass(frozen=True)
class GapTable:
    """The law of the gaps.

    Attributes:
        thresholds: uint32 [4096], floor(2^32 (1 - (1-p)^k)) for k = 1, 2, ...; a gap is 1 plus the
            number of entries that are not above its word.
        guide: uint16 [4096], that number for the smallest word with the given upper 12 bits.
    """

    thresholds: NDArray[np.uint32]
    guide: NDArray[np.uint16]


@lru_cache(maxsize=16)
def gap_table(prob: float) -> GapTable:
    """The table of a probability in (0, 0.25), in exact arithmetic."""
    numerator, denominator = prob.as_integer_ratio()
    bits = denominator.bit_length() - 1  # a power of two
    power, entries = 1, []
    for k in range(1, BLOCK + 1):
        power *= denominator - numerator
        entries.append((((1 << bits * k) - power) << 32) >> bits * k)
    thresholds = np.array(entries, np.uint32)
    first_words = np.arange(1 << GUIDE_BITS, dtype=np.uint64) << np.uint64(32 - GUIDE_BITS)
    return GapTable(thresholds, np.searchsorted(thresholds, first_words, "right").astype(np.uint16))


def chosen(draw: Draw, first: int, n: int, device: torch.device | str = "cpu") -> Tensor:
    """Bool [n]: whether the elements first, first + 1, ... are chosen."""
    if not n or not draw.prob:
        return torch.zeros(n, dtype=torch.bool, device=device)
    blocks = torch.arange(first // BLOCK, -(-(first + n) // BLOCK), device=device)
    mask = dense_blocks(draw, blocks) if draw.dense else sparse_blocks(draw, blocks)
    start = first % BLOCK
    return mask.flatten()[start : start + n]


def dense_blocks(draw: Draw, blocks: Tensor) -> Tensor:
    """Bool [len(blocks), 4096] from a word an element."""
    return words(draw, blocks, 0, BLOCK) < draw.below


def sparse_blocks(draw: Draw, blocks: Tensor) -> Tensor:
    """Bool [len(blocks), 4096] from the gaps between chosen elements."""
    table = torch.from_numpy(gap_table(draw.prob).thresholds.astype(np.int64)).to(blocks.device)
    mask = torch.zeros(len(blocks), BLOCK + 1, dtype=torch.bool, device=blocks.device)
    reached = torch.full((len(blocks), 1), -1, device=blocks.device)
    word = 0
    while bool((reached < BLOCK).any()):
        drawn = words(draw, blocks, word, WORDS_AT_ONCE)
        gaps = 1 + torch.searchsorted(table, drawn, right=True)
        places = reached + gaps.cumsum(1)
        mask.scatter_(
            1, places.clamp_max(BLOCK), True
        )  # the extra column takes what is past the end
        reached = places[:, -1:]
        word += WORDS_AT_ONCE
    return mask[:, :BLOCK]


def words(draw: Draw, blocks: Tensor, first: int, n: int) -> Tensor:
    """Words first .. first + n - 1 of each block, int64 [len(blocks), n]; both multiples of 4."""
    counter = torch.empty(len(blocks), n // 4, 4, dtype=torch.int64, device=blocks.device)
    counter[..., 0] = (blocks & MASK)[:, None]
    counter[..., 1] = torch.arange(first // 4, (first + n) // 4, device=blocks.device)
    counter[..., 2] = draw.step
    counter[..., 3] = draw.stream
    return philox4x32(counter, draw.key).reshape(len(blocks), n)
