"""State trees on disk: tensors as safetensors, the rest as JSON. No pickles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

VERSION = "1"


def save_checkpoint(path: Path, tree: Any) -> None:
    """Write a state tree (dicts with string or integer keys, lists, tensors, scalars) to ``path``.

    The file appears under its name when it is whole.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(encode(tree, tensors))
    apart(tensors)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, temporary, metadata={"version": VERSION, "tree": text})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> Any:
    """Read what `save_checkpoint` wrote.

    Raises:
        ValueError: no such file, damaged, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} is not a whole checkpoint: {error}") from error
    if metadata.get("version") != VERSION:
        raise ValueError(
            f"{path}: expected a checkpoint of version {VERSION}, got {metadata.get('version')}; "
            "start the run again"
        )
    return decode(json.loads(metadata["tree"]), tensors)


def encode(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON values for ``tree``; each tensor goes to ``tensors`` and leaves its name."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"items": [[key, encode(item, tensors)] for key, item in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return [encode(item, tensors) for item in tree]
    return tree


def apart(tensors: dict[str, Tensor]) -> None:
    """Copy those that share memory with an earlier one, which the format does not allow."""
    seen = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[name] = tensor.clone()
        seen.add(place)


def decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree that `encode` was given; tuples come back as lists."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: decode(item, tensors) for key, item in value["items"]}
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    return value
