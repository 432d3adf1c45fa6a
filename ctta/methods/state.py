"""State derived by walking attributes, so that no method writes its own saving or resetting.

A *flat state* maps paths to tensors and JSON scalars, so it can be stored without pickle. A
container has one entry of its own, its path with a slash at the end, which tells its kind and keys.
Loading copies in place, so that aliases (a parameter in a module and in its optimizer) hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Scalar = bool | int | float | str | None
FlatState = dict[str, Tensor | Scalar]


def save_state(value: Any, path: str, into: FlatState) -> None:
    """Write ``value`` under ``path`` into a flat state, tensors copied.

    Raises:
        ValueError: something that cannot be saved, with its path.
    """
    if isinstance(value, Tensor):
        into[path] = value.detach().clone()
    elif value is None or isinstance(value, (bool, int, float, str)):
        into[path] = value
    elif isinstance(value, torch.Generator):
        into[path] = value.get_state()
    elif isinstance(value, Mapping):
        if not all(isinstance(key, (int, str)) for key in value):
            raise ValueError(f"'{path}' has keys that cannot be saved: use strings or integers")
        into[path + "/"] = json.dumps({"dict": list(value)})
        for key, item in value.items():
            save_state(item, f"{path}/{key}", into)
    elif isinstance(value, (list, tuple)):
        into[path + "/"] = json.dumps({type(value).__name__: list(range(len(value)))})
        for index, item in enumerate(value):
            save_state(item, f"{path}/{index}", into)
    elif hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        save_state(dict(value.state_dict()), path, into)
    else:
        raise ValueError(
            f"'{path}' is a {type(value).__name__}, which cannot be saved: keep tensors, modules, "
            "optimizers, generators, numbers, strings or containers of these, or give it "
            "state_dict and load_state_dict"
        )


def read_state(state: Mapping[str, Tensor | Scalar], path: str) -> Any:
    """What stands under ``path``, as containers of new tensors and scalars.

    Raises:
        ValueError: ``path`` is not in the state.
    """
    if path + "/" in state:
        ((kind, keys),) = json.loads(str(state[path + "/"])).items()
        items = [read_state(state, f"{path}/{key}") for key in keys]
        if kind == "dict":
            return dict(zip(keys, items, strict=True))
        return tuple(items) if kind == "tuple" else items
    if path not in state:
        raise ValueError(f"the saved state lacks '{path}': it belongs to another method or version")
    value = state[path]
    return value.clone() if isinstance(value, Tensor) else value


def load_state(current: Any, saved: Any) -> Any:
    """``current`` with the values of ``saved``: copied in place where there is a place.

    Returns:
        The object to keep: ``current`` itself, or a new value for what is immutable or was absent.
    """
    if isinstance(current, torch.Generator):
        current.set_state(saved.cpu())
        return current
    if isinstance(current, Tensor) and isinstance(saved, Tensor):
        if current.shape == saved.shape and current.dtype == saved.dtype:
            with torch.no_grad():
                current.copy_(saved)
            return current
        return saved.to(current.device)
    if hasattr(current, "state_dict") and hasattr(current, "load_state_dict"):
        current.load_state_dict(saved)
        return current
    if isinstance(current, dict) and isinstance(saved, dict):
        merged = {key: load_state(current.get(key), item) for key, item in saved.items()}
        current.clear()
        current.update(merged)
        return current
    if isinstance(current, (list, tuple)) and isinstance(saved, (list, tuple)):
        old = [*current, *[None] * (len(saved) - len(current))]
        items = [load_state(mine, item) for mine, item in zip(old, saved, strict=False)]
        if isinstance(current, tuple):
            return tuple(items)
        current[:] = items
        return current
    return saved


def state_sha256(state: Mapping[str, Tensor | Scalar]) -> str:
    """SHA-256 over the names and values of a flat state, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(name.encode())
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{list(value.shape)}".encode())
            digest.update(
                value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data
            )  # no copy
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def refuse_hooks_over(owner: object, module: nn.Module, name: str) -> None:
    """Refuse a hook that closes over ``owner``: after a deep copy it would write into the original.

    Raises:
        ValueError: such a hook, with the module's name.
    """
    for child_name, child in module.named_modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
            for hook in getattr(child, kind).values():
                cells = getattr(hook, "__closure__", None) or ()
                held = [getattr(hook, "__self__", None), *(cell.cell_contents for cell in cells)]
                if any(item is owner for item in held):
                    raise ValueError(
                        f"a hook on '{name}.{child_name}' closes over the method: a copy of the "
                        "method would write into the original; keep what it needs in the module"
                    )
