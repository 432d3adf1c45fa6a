"""Forwards of a batch in pieces that fit into a given memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from ctta.models.source import SourceModel

PLAIN_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "DropPath", "StochasticDepth")
Forward = Callable[[Tensor], tuple[Tensor, ...]]


class Pieces:
    """Splits forwards so that the activations of each piece fit.

    A forward that builds a graph keeps no activations: each piece is computed again when the
    gradient comes to it. What a method holds beside the network's activations (weights, gradients,
    optimizer, memories) is not counted.

    Args:
        memory_mib: for the activations of one forward, as counted on one and on two images.
    """

    def __init__(self, memory_mib: int) -> None:
        self.memory_mib = memory_mib
        self.sizes: dict[Hashable, int] = {}

    def __call__(self, model: SourceModel, forward: Forward, x: Tensor) -> tuple[Tensor, ...]:
        """``forward(x)`` for ``x`` [B,C,H,W], piece by piece if the whole does not fit.

        Raises:
            ValueError: an image's answer depends on the others of its batch, or one image alone
                does not fit.
        """
        refuse_mixing(model)
        size = self.size(model, forward, x)
        if len(x) <= size:
            return forward(x)
        parts = torch.split(x, size)
        if builds_graph(model, x):
            made = [checkpoint(forward, part, use_reentrant=False) for part in parts]
        else:
            made = [forward(part) for part in parts]
        return tuple(map(torch.cat, zip(*made, strict=True)))

    def size(self, model: SourceModel, forward: Forward, x: Tensor) -> int:
        """Images whose activations fit."""
        key = (
            model.card,
            tuple(x.shape[1:]),
            x.dtype,
            torch.is_autocast_enabled(x.device.type),
            builds_graph(model, x),
        )
        if key not in self.sizes:
            one, two = (peak_bytes(forward, x[:1].repeat(n, 1, 1, 1)) for n in (1, 2))
            each = max(two - one, 1)
            size = 1 + (self.memory_mib * 2**20 - one) // each
            if size < 1:
                raise ValueError(
                    f"compute.memory_mib: one image through {model.card.name} needs "
                    f"{-(-one // 2**20)} MiB, got {self.memory_mib}; type "
                    f"compute.memory_mib={-(-one // 2**20)} or more"
                )
            self.sizes[key] = size
        return self.sizes[key]


_pieces: ContextVar[Pieces | None] = ContextVar("pieces", default=None)


@contextmanager
def in_pieces(memory_mib: int | None) -> Iterator[None]:
    """Inside, source models compute their forwards in `Pieces`; None: whole."""
    token = _pieces.set(None if memory_mib is None else Pieces(memory_mib))
    try:
        yield
    finally:
        _pieces.reset(token)


def current_pieces() -> Pieces | None:
    """What `in_pieces` has put in force."""
    return _pieces.get()


def builds_graph(model: nn.Module, x: Tensor) -> bool:
    """Whether autograd would record a forward."""
    return torch.is_grad_enabled() and (
        x.requires_grad or any(p.requires_grad for p in model.parameters())
    )


def mixing_layer(model: nn.Module) -> tuple[str, str] | None:
    """The name of the first layer by which an image's answer depends on its batch, and what it
    does; None: there is none.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and not (
            type(layer) in PLAIN_BATCH_NORMS and not layer.training and layer.track_running_stats
        ):
            return name, "normalises with the statistics of the batch"
        if layer.training and type(layer).__name__ in DROPOUTS and drop_prob(layer) > 0:
            return name, "draws for the whole batch"
    return None


def refuse_mixing(model: SourceModel) -> None:
    """Refuse a model that answers an image differently in another batch.

    Raises:
        ValueError: names the `mixing_layer`.
    """
    found = mixing_layer(model)
    if found is not None:
        name, what = found
        raise ValueError(
            f"compute.memory_mib: batches cannot be split for this method, as {name} of "
            f"{model.card.name} {what}; type compute.memory_mib=null, or choose a model without "
            "such layers, as model=digits_vit"
        )


def drop_prob(layer: Any) -> float:
    """The probability of any of ``DROPOUTS``."""
    found: float = layer.drop_prob if hasattr(layer, "drop_prob") else layer.p
    return found or 0.0


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made inside and are still alive.

    Attributes:
        live: now.
        peak: the most so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in storages((args, kwargs))}
        for storage in storages(out):
            if storage._cdata not in given:  # else a view, or in place
                self.live += storage.nbytes()
                weakref.finalize(storage, self.forget, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return out

    def forget(self, n_bytes: int) -> None:
        self.live -= n_bytes


def storages(tree: Any) -> list[torch.UntypedStorage]:
    """Of all tensors in a tree of containers."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def peak_bytes(forward: Forward, x: Tensor) -> int:
    """The most that tensors made by ``forward(x)`` take at a time, its graph included."""
    counted = LiveBytes()
    with counted:
        forward(x)
    return counted.peak
