"""State trees on disk: tensors as safetensors, the rest as JSON. No pickles."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ctta.places import whole_file

VERSION = "1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be gone on from; nothing has been changed yet."""


def save_checkpoint(path: Path, tree: Any, *, known: Mapping[str, Any] | None = None) -> None:
    """Write a state tree (dicts with string or integer keys, lists, tensors, scalars) to ``path``.

    The file appears under its name when it is whole, and is on the disk when this returns.

    Args:
        path: of the file.
        tree: what to keep.
        known: tensors by key that whoever reads the file has too: an entry of a dict in ``tree``
            with the same key and the same bits is left out.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(encode(tree, tensors, known or {}))
    apart(tensors)
    metadata = {"version": VERSION, "tree": text, "crc32": str(checksum(text, tensors))}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load_checkpoint(path: Path, *, known: Mapping[str, Any] | None = None) -> Any:
    """Read what `save_checkpoint` wrote, with the same ``known``.

    Raises:
        CheckpointError: no such file, damaged, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: expected a checkpoint of version {VERSION}, got {metadata.get('version')}"
        )
    text = metadata["tree"]
    if "crc32" in metadata and metadata["crc32"] != str(checksum(text, tensors)):
        raise CheckpointError(f"{path} is not a whole checkpoint: its checksum does not fit")
    return decode(json.loads(text), tensors, known or {})


def encode(tree: Any, tensors: dict[str, Tensor], known: Mapping[str, Any]) -> Any:
    """JSON values for ``tree``; each tensor goes to ``tensors`` and leaves its name."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(tree, dict):
        items: list[list[Any]] = []
        for key, item in tree.items():
            left_out = same_bits(item, known.get(key))
            items.append([key, {"known": key} if left_out else encode(item, tensors, known)])
        return {"items": items}
    if isinstance(tree, (list, tuple)):
        return [encode(item, tensors, known) for item in tree]
    return tree


def same_bits(value: Any, other: Any) -> bool:
    """Two tensors of one type, shape and place whose bytes are equal."""
    return (
        isinstance(value, Tensor)
        and isinstance(other, Tensor)
        and (value.dtype, value.shape, value.device) == (other.dtype, other.shape, other.device)
        and torch.equal(as_bytes(value), as_bytes(other))
    )


def as_bytes(tensor: Tensor) -> Tensor:
    """The elements of ``tensor`` in logical order, as uint8."""
    return tensor.detach().reshape(-1).view(torch.uint8)


def checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of the tree's text and of the tensors, which safetensors itself does not check."""
    found = zlib.crc32(text.encode())
    for name in sorted(tensors):
        found = zlib.crc32(as_bytes(tensors[name]).numpy().data, found)
    return found


def apart(tensors: dict[str, Tensor]) -> None:
    """Copy those that share memory with an earlier one, which the format does not allow."""
    seen = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[name] = tensor.clone()
        seen.add(place)


def decode(value: Any, tensors: dict[str, Tensor], known: Mapping[str, Any]) -> Any:
    """The tree that `encode` was given; tuples come back as lists."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        if "known" in value:
            if value["known"] not in known:
                raise CheckpointError(f"the checkpoint leaves out {value['known']}, unknown here")
            return known[value["known"]]
        return {key: decode(item, tensors, known) for key, item in value["items"]}
    if isinstance(value, list):
        return [decode(item, tensors, known) for item in value]
    return value
