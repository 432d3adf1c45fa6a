"""That files were verified: a mark that a run can look at without reading them again.

It holds size and time of change of the files, of up to `MOST_FILES` of them, evenly spread, where
an archive has more. Whoever changes a file and gives it its old time back is not noticed here, but
by `ctta data verify`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ctta.data import catalogue
from ctta.data.catalogue import File
from ctta.data.shelf import Shelf

MOST_FILES: Final = 5_000


def leave(shelf: Shelf, file: File, paths: Sequence[str] | None) -> None:
    """Note that ``paths`` are as published; None: that files of this archive are not.

    Args:
        shelf: the places of the data set.
        file: of the catalogue.
        paths: relative to the root.
    """
    chosen = None
    if paths is not None:
        step = -(-len(paths) // MOST_FILES) or 1
        chosen = {path: state(shelf.root / path) for path in paths[::step]}
    stamp = {"checksums": file.checksums, "files": chosen}
    shelf.stamp(file).parent.mkdir(parents=True, exist_ok=True)
    temporary = shelf.beside(file, ".verified.new")
    temporary.write_text(json.dumps(stamp), encoding="utf-8")
    temporary.replace(shelf.stamp(file))


def remove(shelf: Shelf, file: File) -> None:
    """Take the mark away: nothing is known."""
    shelf.stamp(file).unlink(missing_ok=True)


def state(path: Path) -> list[int] | None:
    """Size and time of change; None: no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def verified(name: str, root: Path) -> bool | None:
    """Whether the files of a data set match published checksums, as far as marks tell.

    Args:
        name: of the entry in the catalogue.
        root: folder of all data sets.

    Returns:
        True: all that is there was verified and has not been changed since. False: something was
        found to differ, or was changed since. None: not verified, or no checksum is published.
    """
    entry = catalogue.entry(name)
    shelf = Shelf(entry, root)
    present = [f for f in entry.files if any(t.exists() for t in shelf.targets(f))]
    found = [holds(shelf, file) for file in present]
    if False in found:
        return False
    return True if found and None not in found else None


def holds(shelf: Shelf, file: File) -> bool | None:
    """`verified` for one file of the catalogue."""
    try:
        stamp: dict[str, Any] = json.loads(shelf.stamp(file).read_text(encoding="utf-8"))
        if stamp["checksums"] != file.checksums:
            return None  # another content is published now
        files = stamp["files"]
        return files is not None and all(state(shelf.root / p) == s for p, s in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or none of ours
        return None
