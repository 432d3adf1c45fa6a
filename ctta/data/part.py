"""What has come of a file, ``<name>.part``, and the note on it, ``<name>.part.json``.

The note keeps which content of which address that is, so that a later request can ask for the rest
of the same content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes to ``path``.

    Raises:
        ValueError: there is no room, or no permission.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be written ({error.strerror or error}); what came is kept: make room "
            "and type the same command, or set CTTA_DATA (--root) to another folder"
        ) from None


def note_of(part: Path) -> Path:
    """Where it is kept what the content of ``part`` is."""
    return part.with_name(f"{part.name}.json")


def keep_note(part: Path, note: dict[str, Any]) -> None:
    """Keep what the content of ``part`` is.

    Raises:
        ValueError: it cannot be written.
    """
    with writing(note_of(part)):
        note_of(part).write_text(json.dumps(note), encoding="utf-8")


def noted(part: Path) -> dict[str, Any] | None:
    """What is known of the content of ``part``; None: nothing."""
    try:
        note = json.loads(note_of(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def length(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def discard(part: Path) -> int:
    """Remove what came so far; the bytes that are left: 0."""
    part.unlink(missing_ok=True)
    note_of(part).unlink(missing_ok=True)
    return 0
