"""Philox-4x32-10 in torch: the reference form, the same integers on every device.

Source: Salmon, Moraes, Dror & Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from typing import Final

import torch
from torch import Tensor

MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
WEYL: Final = (0x9E3779B9, 0xBB67AE85)
ROUNDS: Final = 10
MASK: Final = 0xFFFFFFFF


def split64(value: int) -> tuple[int, int]:
    """The low and the high 32 bits of an integer modulo 2**64."""
    return value & MASK, (value >> 32) & MASK


def philox4x32(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Ten rounds of Philox over a batch of counters.

    `counter` is int64 [..., 4] with values in [0, 2**32); `key` two 32-bit integers. Returns the
    four output words in the same shape and type.
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key
    for _ in range(ROUNDS):
        # An int64 product wraps modulo 2**64, so both of its halves are those of the exact one.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((p1 >> 32) & MASK) ^ c1 ^ k0,
            p1 & MASK,
            ((p0 >> 32) & MASK) ^ c3 ^ k1,
            p0 & MASK,
        )
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return torch.stack((c0, c1, c2, c3), dim=-1)


def row_words(ids: Tensor, draw: int, n: int, seed: int) -> Tensor:
    """`n` words for each id: int64 [B, n] with values in [0, 2**32).

    Word `i` of a row is word `i % 4` of the block with counter (i // 4, draw, id) and key `seed`.
    """
    n_blocks = -(-n // 4)
    counter = torch.empty((len(ids), n_blocks, 4), dtype=torch.int64, device=ids.device)
    counter[..., 0] = torch.arange(n_blocks, device=ids.device)
    counter[..., 1] = draw
    counter[..., 2] = (ids & MASK)[:, None]
    counter[..., 3] = ((ids >> 32) & MASK)[:, None]
    return philox4x32(counter, split64(seed)).reshape(len(ids), 4 * n_blocks)[:, :n]
