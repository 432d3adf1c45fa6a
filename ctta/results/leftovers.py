"""What processes that were killed have left in a run store, and nobody needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ctta.locks import held
from ctta.results.index import CHECKPOINT, CONFIG, RECORD, Run


def leftovers(root: Path, runs: Sequence[Run]) -> list[Path]:
    """Half-written files, checkpoints of finished runs, and folders with nothing but a log."""
    found: list[Path] = []
    for run in runs:
        folder = root / run.folder
        if run.status == "running" or held(folder):
            continue
        if not (folder / RECORD).exists() and not (folder / CONFIG).exists():
            found.append(folder)
            continue
        found += [p for p in sorted(folder.glob(".*")) if p.is_file()]
        if (folder / CHECKPOINT).is_dir():
            if run.status == "finished":
                found.append(folder / CHECKPOINT)
            else:
                found += sorted((folder / CHECKPOINT).glob(".*"))
    return found


def n_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def remove(path: Path) -> None:
    """Take a file or a folder away."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
