"""All tensors of an update for one compiled call, as a table of their addresses.

A call a tensor costs more than what it does to a small one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from ctta.counter.compiled import for_cpu
from ctta.kernels.reference import Gradients, Tensors

Array = NDArray[Any]
# Types as compiled functions are told of them: by an empty array.
KINDS: dict[torch.dtype, Array] = {
    torch.float32: np.empty(0, np.float32),
    torch.float64: np.empty(0, np.float64),
}


class Table:
    """Where tensors lie: what every compiled function takes first.

    Args:
        groups: sequences of T tensors without gaps; the first one's type is that of all, or masks.

    Attributes:
        rows: uint64 [groups + 1, T], the addresses, and in the last row the tensors' sizes.
        kind: an empty array of the tensors' type.

    Raises:
        ValueError: tensors of one place that differ in size.
    """

    def __init__(self, *groups: Tensors) -> None:
        sizes = [list(map(Tensor.numel, group)) for group in groups]
        if sizes.count(sizes[0]) != len(sizes):
            raise ValueError(
                f"expected tensors of equal sizes in each sequence, got {sizes}: pass the "
                "parameters of equal models"
            )
        self.groups = groups  # held: an address does not keep its tensor alive
        addresses = [list(map(Tensor.data_ptr, group)) for group in groups]
        self.rows = np.array([*addresses, sizes[0]], np.uint64)  # one: each array costs a call
        self.kind = KINDS[groups[0][0].dtype]

    def __iter__(self) -> Iterator[Array]:
        return iter((self.rows, self.kind))


def filled(gradients: Gradients, like: Tensors) -> Tensors:
    """Gradients, zeros where there is none."""
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, like, strict=True)]


@intrinsic
def pointer(_typing, _address):  # type: ignore[no-untyped-def]
    """An address as a pointer."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.uint64), generate


@for_cpu
def at(rows, group, k, kind):  # type: ignore[no-untyped-def]
    """The memory of the k-th tensor of a group as a flat array of the type of ``kind``."""
    return carray(pointer(rows[group, k]), (np.int64(rows[-1, k]),), kind.dtype)


@for_cpu
def two(decay, kind):  # type: ignore[no-untyped-def]
    """A decay and its complement in the type of ``kind``."""
    return kind.dtype.type(decay), kind.dtype.type(1 - decay)
