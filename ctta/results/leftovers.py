"""What processes that were killed have left in a run store, and nobody needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ctta.locks import held
from ctta.results.index import CHECKPOINT, CONFIG, RECORD, Run
from ctta.results.sweep import SWEEPS

SECONDS_QUIET = 24 * 3600.0  # a sweep is between two runs for less


def leftovers(root: Path, runs: Sequence[Run]) -> list[Path]:
    """Half-written files, checkpoints of finished runs, folders with nothing but a log, and the
    outcomes of sweeps that were killed.
    """
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
    if not any(run.status == "running" or held(root / run.folder) for run in runs):
        found += [sweep for sweep in sorted((root / SWEEPS).glob("*")) if quiet(sweep)]
    return found


def quiet(folder: Path) -> bool:
    """Whether nothing has been written there for `SECONDS_QUIET`."""
    times = [path.lstat().st_mtime for path in (folder, *folder.rglob("*"))]
    return time.time() - max(times) > SECONDS_QUIET


def n_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def remove(path: Path) -> None:
    """Take a file or a folder away."""
    if path.is_dir():
        shutil.rmtree(path)
        if path.parent.name == SWEEPS:
            with suppress(OSError):  # others are there
                path.parent.rmdir()
    else:
        path.unlink(missing_ok=True)
