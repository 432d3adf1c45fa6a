"""Forwards of source models as CUDA graphs: one launch in place of hundreds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ctta.models.pieces import Forward, builds_graph

if TYPE_CHECKING:
    from ctta.models.source import SourceModel

MOST_KINDS = 64  # of forwards; some for each model, mode and length of a batch
PLAIN = (bool, int, float, str)


class Graphs:
    """Replays forwards that build no autograd graph; others run as they are.

    The first forward of a *kind* runs as it is, the second is captured, and from then on that is
    replayed. A kind is the model's layers with all plain values that they hold, the addresses of
    their tensors, and the batch's shape and type. So weights that move in place are followed, and
    a layer that changes its mode is of another kind.
    """

    def __init__(self) -> None:
        self.replays: dict[Hashable, Forward | None] = {}

    def __call__(self, model: SourceModel, forward: Forward, x: Tensor) -> tuple[Tensor, ...]:
        """``forward(x)`` for ``x`` [B,C,H,W].

        Raises:
            ValueError: the model cannot be captured: hooks, other kinds at every batch, or what
                CUDA says.
        """
        if builds_graph(model, x):
            return forward(x)
        kind = (getattr(forward, "__name__", ""), batch_kind(x), model_kind(model))
        if kind not in self.replays:
            if len(self.replays) == MOST_KINDS:
                raise refusal(model, "its layers hold values that change from batch to batch")
            self.replays[kind] = None
            return forward(x)
        replay = self.replays[kind]
        if replay is None:
            try:
                replay = self.replays[kind] = capture(forward, x)
            except RuntimeError as error:
                raise refusal(model, str(error).strip().splitlines()[0]) from error
        return replay(x)


def capture(forward: Forward, x: Tensor) -> Forward:
    """``forward`` as a graph for batches like ``x``; it has run before, and does not run here."""
    given, graph = x.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        made = forward(given)

    def replay(x: Tensor) -> tuple[Tensor, ...]:
        given.copy_(x)
        graph.replay()
        return tuple(part.clone() for part in made)  # the next replay writes over them

    return replay


def batch_kind(x: Tensor) -> Hashable:
    """What of a batch decides which kernels run."""
    device = x.device.type
    cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return tuple(x.shape), x.stride(), x.dtype, x.device, cast


def model_kind(model: SourceModel) -> Hashable:
    """What of a model decides which kernels run, and on which memory.

    Raises:
        ValueError: it has hooks, which a replay would not call.
    """
    found: list[Any] = []
    for name, layer in model.named_modules():
        if layer._forward_hooks or layer._forward_pre_hooks:
            raise refusal(model, f"its layer {name or 'itself'} has hooks")
        found.append(type(layer))
        for value in vars(layer).values():
            if isinstance(value, PLAIN):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                found.append(tuple(v for v in value if isinstance(v, PLAIN)))
        found += addresses(layer)
    return tuple(found)


def addresses(layer: nn.Module) -> list[int | None]:
    """Where a layer's own tensors lie, registered or not."""
    plain = [value for value in vars(layer).values() if isinstance(value, Tensor)]
    own = (*layer._parameters.values(), *layer._buffers.values(), *plain)
    return [None if t is None else t.data_ptr() for t in own]


def refusal(model: SourceModel, reason: str) -> ValueError:
    """The error that says what to type."""
    return ValueError(
        f"compute.cuda_graph: {model.card.name} cannot be captured for this method ({reason}); "
        "type compute.cuda_graph=false"
    )


_graphs: ContextVar[Graphs | None] = ContextVar("graphs", default=None)


@contextmanager
def replaying(wanted: bool = True) -> Iterator[None]:
    """Inside, source models replay their forwards by `Graphs`, or run them as they are."""
    token = _graphs.set(Graphs() if wanted else None)
    try:
        yield
    finally:
        _graphs.reset(token)


def current_graphs() -> Graphs | None:
    """What `replaying` has put in force."""
    return _graphs.get()
