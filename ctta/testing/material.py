"""What the contract is checked with: two small models, fixed images, and how answers compare."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Artefact, Method
from ctta.methods.state import FlatState
from ctta.models.digits import TinyCNN
from ctta.models.digits_vit import TinyViT
from ctta.models.source import SourceModel, weights_hash

MakeMethod = Callable[[SourceModel], Method]
N_CLASSES, SIDE, BATCH, N_BATCHES = 5, 16, 6, 3


class BrokenLineError(Exception):
    """What a check found, in words."""


def tiny_cnn(dtype: torch.dtype = torch.float32) -> SourceModel:
    """A batch-norm CNN with fixed weights and lived-in statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        model = TinyCNN(num_classes=N_CLASSES, channels=(4, 8, 8), side=SIDE).train()
        model(torch.rand(32, 3, SIDE, SIDE))
    return model.eval().to(dtype)


def tiny_vit(dtype: torch.dtype = torch.float32) -> SourceModel:
    """A layer-norm transformer with fixed weights."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        model = TinyViT(
            img_size=SIDE, patch_size=8, num_classes=N_CLASSES, embed_dim=16, depth=2, num_heads=2
        )
    return model.eval().to(dtype)


def batches(n: int = N_BATCHES, *, size: int = BATCH, seed: int = 0) -> list[Tensor]:
    """n batches [size,3,16,16] of fixed noise in [0,1]; fresh tensors at every call."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(size, 3, SIDE, SIDE, generator=generator) for _ in range(n)]


def source_data(dtype: torch.dtype = torch.float32) -> SourceData:
    """A few fixed labelled images, as of a training split."""
    images = torch.cat(batches(5, seed=2)).to(dtype)
    return SourceData(images, torch.arange(len(images)) % N_CLASSES, identity="fixed noise")


class Prepared:
    """``make_method``, followed by a preparation on `source_data`.

    An artefact depends on nothing but the model, the source data and the arguments, so that it is
    built once for each model, as a run's is.

    Args:
        make_method: builds the method over a given source model.
    """

    def __init__(self, make_method: MakeMethod) -> None:
        self.make_method = make_method
        self.artefacts: dict[str, Artefact] = {}

    def __call__(self, model: SourceModel) -> Method:
        method = self.make_method(model)
        first = next(model.parameters())
        key = f"{first.device} {weights_hash(model)}"
        if key not in self.artefacts:
            self.artefacts[key] = self.artefact(model)
        method.install(copy.deepcopy(self.artefacts[key]), source_data(first.dtype))
        method.remember()
        return method

    def artefact(self, model: SourceModel) -> Artefact:
        """What a new method makes of the source data."""
        return self.make_method(model).artefact(source_data(next(model.parameters()).dtype))


def prepared(make_method: MakeMethod) -> Prepared:
    """``make_method``, followed by a preparation on a few fixed source images."""
    return Prepared(make_method)


def answers(method: Method, xs: Sequence[Tensor]) -> list[Tensor]:
    """What the method returns along ``xs``, copied."""
    return [method(x).detach().clone() for x in xs]


def same_tensors(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Equal to the last bit, NaN where NaN is."""
    return all(
        torch.equal(torch.nan_to_num(x), torch.nan_to_num(y)) for x, y in zip(a, b, strict=True)
    )


def first_difference(a: FlatState, b: FlatState) -> str | None:
    """A name under which two states differ, or None."""
    for name in sorted(a.keys() | b.keys()):
        x, y = a.get(name), b.get(name)
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            if not torch.equal(x, y):
                return name
        elif x != y:
            return name
    return None
