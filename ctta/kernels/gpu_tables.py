"""The tables by which a kernel finds its elements: sizes, addresses, decays, gaps.

They are uploaded when their content is new. A model keeps its tensors where they are, so that after
the first steps nothing is uploaded any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.kernels import gpu_device
from ctta.kernels.draws import BLOCK, Draw, gap_table

KEPT = 256  # tables; gradients may come to lie elsewhere at each step
_tables: OrderedDict[Hashable, gpu_device.Table] = OrderedDict()


@dataclass(frozen=True)
class Layout:
    """Where the tensors of a sequence lie in logical order.

    Attributes:
        sizes: elements of each tensor.
        device: of the tensors.
        starts: of each tensor, and the end: int64 [tensors + 1].
        first: the tensor of each block's first element: int32 [blocks].
    """

    sizes: tuple[int, ...]
    device: torch.device
    starts: np.uintp
    first: np.uintp

    @property
    def total(self) -> int:
        """Elements of all tensors."""
        return sum(self.sizes)

    @property
    def blocks(self) -> int:
        """Blocks of 4,096 elements, the last one perhaps shorter."""
        return -(-self.total // BLOCK)

    @property
    def arguments(self) -> tuple[np.generic, ...]:
        """The first arguments of every kernel over tensors."""
        return self.starts, self.first, np.int64(self.total)


def layout(tensors: Sequence[Tensor]) -> Layout:
    """The layout of tensors of these sizes."""
    device, sizes = tensors[0].device, tuple([t.numel() for t in tensors])

    def starts() -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def first() -> NDArray[np.int32]:
        blocks = np.arange(0, sum(sizes), BLOCK)
        return (np.searchsorted(starts(), blocks, "right") - 1).astype(np.int32)

    return Layout(
        sizes,
        device,
        table(("starts", sizes), device, starts),
        table(("first", sizes), device, first),
    )


def addresses(tensors: Sequence[Tensor | None], where: Layout) -> np.uintp:
    """The addresses of tensors of that layout, 0 for None: int64 [tensors].

    Raises:
        ValueError: they have other sizes.
    """
    own = tuple([0 if t is None else t.data_ptr() for t in tensors])

    def checked() -> NDArray[np.int64]:
        sizes = [n if t is None else t.numel() for t, n in zip(tensors, where.sizes, strict=True)]
        if tuple(sizes) != where.sizes:
            at = next(i for i, n in enumerate(where.sizes) if n != sizes[i])
            raise ValueError(
                f"expected tensors of equal shapes, got {sizes[at]} elements beside "
                f"{where.sizes[at]} in tensor {at}: pass the parameters of two equal models"
            )
        return np.array(own, np.int64)

    return table(("addresses", own, where.sizes), where.device, checked)


def decays(each: Sequence[float], element: torch.dtype, device: torch.device) -> np.uintp:
    """A decay and its complement for each tensor, in its type: [tensors, 2]."""
    own = tuple(each)
    rows = np.array([(decay, 1 - decay) for decay in own])
    width = np.float32 if element == torch.float32 else np.float64
    return table(("decays", element, own), device, lambda: rows.astype(width))


def draw_arguments(draw: Draw, device: torch.device) -> tuple[np.generic, ...]:
    """The last arguments of every kernel that draws."""
    law = (np.uintp(0), np.uintp(0))
    if not draw.dense:
        law = (
            table(("thresholds", draw.prob), device, lambda: gap_table(draw.prob).thresholds),
            table(("guide", draw.prob), device, lambda: gap_table(draw.prob).guide),
        )
    numbers = (draw.step, draw.stream, *draw.key)
    return *(np.uint32(n) for n in numbers), *law, np.uint64(draw.below)


def table(key: Hashable, device: torch.device, make: Callable[[], NDArray[Any]]) -> np.uintp:
    """The address of the table with this key, made and uploaded if it is not there.

    The tables that were used least recently go; those in a graph never do.
    """
    found = _tables.get((device, key))
    if found is None:
        found = _tables[device, key] = gpu_device.Table(np.ascontiguousarray(make()), device)
        for old in [k for k, t in _tables.items() if not t.captured][:-KEPT]:
            del _tables[old]
    _tables.move_to_end((device, key))
    return found.pointer()


def forget() -> None:
    """Drop all tables; a graph that was captured with them must not run again."""
    _tables.clear()
