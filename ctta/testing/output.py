"""Lines of the contract about what a method returns."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ctta.models.source import SourceModel
from ctta.testing.material import (
    BATCH,
    N_CLASSES,
    SIDE,
    BrokenLineError,
    Prepared,
    answers,
    batches,
)


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """No NaN, no infinity."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def shapes(make: Prepared, model: SourceModel) -> None:
    for logits in answers(make(model), batches(1)):
        if logits.shape != (BATCH, N_CLASSES):
            raise BrokenLineError(f"adapt returned {list(logits.shape)} for {BATCH} images")


def finite(make: Prepared, model: SourceModel) -> None:
    for number, logits in enumerate(answers(make(model), batches())):
        if not torch.isfinite(logits).all():
            raise BrokenLineError(f"batch {number} has NaN or infinity")


def constant_input(make: Prepared, model: SourceModel) -> None:
    if not all_finite(answers(make(model), batches(2))):
        return  # noise is enough: the line `finite`
    for name, value in (("black", 0.0), ("grey", 0.5), ("white", 1.0)):
        method = make(model)
        if not all_finite(answers(method, [torch.full((BATCH, 3, SIDE, SIDE), value)])):
            raise BrokenLineError(f"{name} images gave NaN or infinity")
        if not all_finite(answers(method, batches(2))):
            raise BrokenLineError(f"after {name} images came NaN or infinity")


def no_graph(make: Prepared, model: SourceModel) -> None:
    method, x = make(model), batches(1)[0]
    if method(x).requires_grad:
        raise BrokenLineError("the call returned a tensor that carries a graph: detach it")
    if method.predict(x).requires_grad:
        raise BrokenLineError("predict returned a tensor that carries a graph: use torch.no_grad")


def last_batch_of_one(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(1))
    try:
        (logits,) = answers(method, batches(1, size=1))
    except (RuntimeError, ValueError, IndexError) as error:
        raise BrokenLineError(f"a batch of one image failed: {error}") from error
    if logits.shape != (1, N_CLASSES) or not torch.isfinite(logits).all():
        raise BrokenLineError(f"a batch of one image gave {logits.tolist()}")


def double_precision(make: Prepared, model: SourceModel) -> None:
    try:
        (logits,) = answers(make(copy.deepcopy(model).double()), [batches(1)[0].double()])
    except RuntimeError as error:
        raise BrokenLineError(f"float64 failed: {error}") from error
    if logits.dtype != torch.float64:
        raise BrokenLineError(f"float64 images gave {logits.dtype} logits")
