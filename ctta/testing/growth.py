"""A line of the contract about memory that grows with the stream."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.testing.material import BATCH, SIDE, BrokenLineError, Prepared

N_LONG = 2000  # batches
N_MARKS = 4
BYTES_A_BATCH = 16  # less than the smallest thing that can be kept of a batch


def bounded_memory(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    generator = torch.Generator().manual_seed(3)
    between = N_LONG // N_MARKS
    marks = []
    already = tracemalloc.is_tracing()
    if not already:
        tracemalloc.start(1)
    try:
        for _ in range(N_MARKS):
            feed(method, between, generator)
            marks.append(held())
    finally:
        if not already:
            tracemalloc.stop()
    for what in marks[0]:
        at = [mark[what] for mark in marks]
        if what == "objects":  # Python's own come and go: growth is what no part is without
            grown = min(b - a for a, b in pairwise(at)) / between
        else:  # a buffer may double now and then: over the second half
            grown = (at[-1] - at[N_MARKS // 2 - 1]) / (N_LONG / 2)
        if grown > BYTES_A_BATCH:
            raise BrokenLineError(
                f"{what} grew by {grown:.0f} bytes a batch of {BATCH} small images"
            )


def feed(method: Method, n: int, generator: torch.Generator) -> None:
    """n batches of noise."""
    for _ in range(n):
        method(torch.rand(BATCH, 3, SIDE, SIDE, generator=generator))


def held() -> dict[str, float]:
    """Bytes of what is alive in this process, by kind; a node of a graph counts as 100."""
    gc.collect()
    objects = tracemalloc.get_traced_memory()[0]
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    storages = {
        storage.data_ptr(): storage.nbytes()
        for storage in (t.untyped_storage() for t in tensors if t.device.type != "meta")
    }
    graphs = 100 * n_nodes(t.grad_fn for t in tensors)
    return {"tensors": sum(storages.values()), "graphs": graphs, "objects": objects}


def n_nodes(starts: Iterable[Any]) -> int:
    """Nodes of all autograd graphs that hang on ``starts``."""
    seen, waiting = set(), [node for node in starts if node is not None]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions if following is not None]
    return len(seen)
