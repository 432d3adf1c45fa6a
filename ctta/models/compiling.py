"""Forwards of source models through ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ctta.models.source import SourceModel

_compile: ContextVar[bool] = ContextVar("compile", default=False)


@contextmanager
def compiling(wanted: bool = True) -> Iterator[None]:
    """Inside, source models are called through ``torch.compile``, or as they are.

    Nothing is kept on a model, so that deep copies are compiled as their originals are.
    """
    token = _compile.set(wanted)
    try:
        yield
    finally:
        _compile.reset(token)


def is_compiling() -> bool:
    """Whether `compiling` is in force."""
    return _compile.get()


def plain(model: SourceModel, x: Tensor) -> Tensor:
    """What is compiled: the model is an argument, so copies share the code."""
    return model.forward(x)


@cache
def compiled() -> Callable[[SourceModel, Tensor], Tensor]:
    """`plain`, compiled at its first call."""
    function: Callable[[SourceModel, Tensor], Tensor] = torch.compile(plain)
    return function


def compiled_forward(model: SourceModel, x: Tensor) -> Tensor:
    """``model.forward(x)`` as compiled code.

    Raises:
        ValueError: it cannot be compiled here; with what the compiler says first.
    """
    try:
        function = compiled()
    except RuntimeError as error:  # no compiler for this Python or this system
        raise ValueError(f"compute.compile: {error}; type compute.compile=false") from error
    try:
        return function(model, x)
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = " ".join(str(error).strip().splitlines()[:2])
        raise ValueError(
            f"compute.compile: {model.card.name} cannot be compiled here ({reason}); "
            "type compute.compile=false"
        ) from error
