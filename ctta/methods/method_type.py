"""How a method is made: its constructor's arguments are recorded, its first state remembered."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from typing import Any


class MethodType(ABCMeta):
    """The type of methods: each has its constructor's arguments and a state to go back to."""

    __signature__: inspect.Signature

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> None:
        super().__init__(name, bases, space)
        cls.__signature__ = constructor_signature(cls)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        method = super().__call__(*args, **kwargs)
        bound = cls.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        method.arguments = {k: v for k, v in bound.arguments.items() if k != "model"}
        method.remember()
        return method


def constructor_signature(cls: type) -> inspect.Signature:
    """The constructor's signature with ``**shared`` written out as the base class's keywords."""
    found: dict[str, inspect.Parameter] = {}
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        own = list(inspect.signature(vars(ancestor)["__init__"]).parameters.values())[1:]
        kinds = {p.kind for p in own}
        found |= {p.name: p for p in own if p.name not in found and p.kind is not p.VAR_KEYWORD}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return inspect.Signature(
        sorted(found.values(), key=lambda p: (p.kind, p.default is not p.empty))
    )
