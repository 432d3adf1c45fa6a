"""What an entry may say: text, https links, scalars; nothing that could be executed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

NAME = r"^[a-z0-9][a-z0-9_]*$"
KEY = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)*$")
WORD = re.compile(r"^[A-Za-z0-9_.+-]*$")
ROOTS = ("seed", "dataset", "stream", "model", "method", "optimizer", "online", "compute")
# Of these, the values are places of files or names of code.
NOT_FROM_ENTRIES = (
    "root",
    "base",
    "list_file",
    "frost_textures",
    "shards",
    "calibration",
    "weights",
    "target",
)
PLACE = re.compile(r"^\s*([/~\\]|[A-Za-z]:[\\/]|file:)|(^|[/\\])\.\.([/\\]|$)")
MAX_BYTES = 1_000_000  # of an entry


def no_control_characters(text: str) -> str:
    """Refuse what moves the cursor, ends a line or turns the direction of writing."""
    if not text.strip() or not text.isprintable():
        raise ValueError("expected printable text on one line")
    return text


Text = Annotated[str, Field(max_length=500), AfterValidator(no_control_characters)]
Link = Annotated[
    str, Field(max_length=300, pattern=r"^https://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+$")
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Scalar = bool | int | float | str | None


def read_json(text: str, where: str) -> Any:
    """JSON without NaN and without a key that comes twice.

    Raises:
        ValueError: it is not that.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {twice!r} comes twice")
        return found

    def no_number(name: str) -> float:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from None


def executable(node: Any, path: str = "") -> Iterator[str]:
    """One line for each thing in ``node`` that a configuration could execute, open or resolve.

    Args:
        node: values of JSON.
        path: where ``node`` stands.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            own = f"{path}.{key}" if path else key
            if key.startswith("_") or "${" in key:
                yield f"{own}: expected no key like {key!r}: an entry names no code"
            else:
                yield from executable(value, own)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from executable(value, f"{path}.{number}")
    elif isinstance(node, float) and not math.isfinite(node):
        yield f"{path}: expected a finite number, got {node}"
    elif isinstance(node, str):
        if "${" in node:
            yield f"{path}: expected a value, got an interpolation: {shortened(node)}"
        elif PLACE.search(node):
            yield f"{path}: expected no path of a file, got {shortened(node)}"
        elif not node.isprintable():
            yield f"{path}: expected printable text on one line, got {shortened(node)}"


def unfit(error: ValidationError) -> Iterator[str]:
    """A line for each field that does not fit: its path, what was expected, and what came."""
    for one in error.errors():
        path, text = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
        given = "" if one["type"] == "missing" else f", got {shortened(one['input'])}"
        yield f"{path}: {text}{given}"


def wrong_override(key: str, value: Scalar) -> str | None:
    """Why ``key=value`` may not stand in an entry; None: it may."""
    root, _, last = key.rpartition(".")
    if not KEY.match(key) or key.partition(".")[0] not in ROOTS:
        return f"expected a key under {', '.join(ROOTS)}"
    if last in NOT_FROM_ENTRIES and root:
        return "a place of files or a name of code cannot be set by an entry"
    if isinstance(value, str) and not WORD.match(value):
        return f"expected a number or a word, got {shortened(value)}"
    return None


def printable(text: str) -> str:
    """``text`` on one line, with what a terminal would obey written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(value: object) -> str:
    """A value as it may be shown in an error."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
