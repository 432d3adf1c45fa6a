"""From a resolved configuration (plain dicts) to objects. Nothing here knows Hydra.

A node with ``_target_`` names a class or a function; its other keys are that callable's keyword
arguments. What only exists at run time (the data set, the model, the cache folder) is *offered*: a
callable gets those offers that its signature has a name for.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

Config = Mapping[str, Any]


def build(node: Config, key: str, **offers: object) -> Any:
    """Build the object that ``node`` describes.

    Args:
        node: resolved configuration with a ``_target_``.
        key: where the node stands in the configuration; errors quote it.
        offers: run-time objects, given to a callable that has an argument of that name.

    Raises:
        ValueError: a target that cannot be imported, an unknown or missing key, a value of the
            wrong type or out of range. The message starts with the key.
    """
    target = locate(node, key)
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in arguments if name not in parameters and not takes_any]
    if unknown:
        known = ", ".join(n for n in parameters if n not in offers)
        raise ValueError(f"{key}.{unknown[0]}: unknown key; {node['_target_']} takes {known}")
    for name, value in arguments.items():
        if isinstance(value, Mapping) and "_target_" in value:
            arguments[name] = build(value, f"{key}.{name}", **offers)
        else:
            check_type(target, name, value, f"{key}.{name}")
    arguments |= {n: offer for n, offer in offers.items() if n in parameters and n not in arguments}
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind is p.KEYWORD_ONLY and name not in arguments
    ]
    if missing:
        raise ValueError(
            f"{key}.{missing[0]}: expected a value, got none; type {key}.{missing[0]}=..."
        )
    try:
        return target(**arguments)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def locate(node: Config, key: str) -> Callable[..., Any]:
    """Import the callable that ``node['_target_']`` names as ``package.module.name``."""
    path = node.get("_target_")
    if not isinstance(path, str) or "." not in path:
        raise ValueError(f"{key}._target_: expected package.module.name, got {path!r}")
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # whatever a plug-in's module does when it is imported
        raise ValueError(
            f"{key}._target_: cannot import {path!r}: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise ValueError(f"{key}._target_: expected a class or a function, {path!r} is neither")
    return typing.cast(Callable[..., Any], found)


def check_type(target: Callable[..., Any], name: str, value: object, key: str) -> None:
    """Compare ``value`` with the annotation of the argument ``name``, without converting it."""
    owner = target.__init__ if inspect.isclass(target) else target
    annotation = typing.get_type_hints(owner).get(name)
    if annotation is None:
        return
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        adapter.validate_python(value)
    except ValidationError as error:
        expected = inspect.formatannotation(annotation)
        reason = error.errors()[0]["msg"]
        raise ValueError(f"{key}: expected {expected}, got {value!r} ({reason})") from None


def optimizer_is_used(config: Config) -> None:
    """Refuse optimizer values that no one reads.

    Raises:
        ValueError: ``optimizer.*`` is set although the method trains nothing.
    """
    given = sorted(k for k, v in config["optimizer"].items() if v is not None)
    if given and "optimizer" not in nested_keys(config["method"]):
        raise ValueError(
            f"optimizer.{given[0]}: this method has no optimizer; leave optimizer.* out"
        )


def nested_keys(node: Config) -> set[str]:
    """All keys of ``node`` and of the nodes inside it."""
    keys = set(node)
    for value in node.values():
        if isinstance(value, Mapping):
            keys |= nested_keys(value)
    return keys
