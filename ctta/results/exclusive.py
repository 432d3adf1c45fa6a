"""Whether a run had the machine to itself, as far as other runs of ours go."""

from __future__ import annotations

import fcntl
import os
import platform
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO
from uuid import uuid4


class RunWatch:
    """Notices runs that overlap with what is done inside, of this machine and cache folder.

    Each run holds a lock on a file of its own in ``<cache>/running``. Who starts looks for the
    locked files of others and leaves a mark in each, so that both know. The system drops the lock
    of a killed process; its file is then removed by the next run.

    Args:
        cache: the cache folder; where it cannot be written to, nothing is known.
    """

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "running"
        self.host = platform.node()
        self.met_others = False
        self.own: IO[bytes] | None = None

    def __enter__(self) -> RunWatch:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.path = self.folder / f"{self.host}-{os.getpid()}-{uuid4().hex}.lock"
            hidden = self.path.with_suffix(".new")
            file = hidden.open("ab")
            fcntl.flock(file, fcntl.LOCK_EX)
            hidden.replace(self.path)  # nobody sees it without its lock
            self.own = file
            self.met_others = self.meet()
        except OSError:
            self.own = None
        return self

    def meet(self) -> bool:
        """Mark the files of runs under way, remove those of dead ones; whether any is under way."""
        found = False
        for path in self.folder.glob(f"{self.host}-*.lock"):
            if path == self.path:
                continue
            with suppress(FileNotFoundError), path.open("r+b") as other:  # it may end just now
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    other.write(b"met")
                    found = True
                else:
                    path.unlink()
        return found

    def exclusive(self) -> bool | None:
        """Whether no other run has been met so far; None: it cannot be known."""
        if self.own is None:
            return None
        return not self.met_others and os.fstat(self.own.fileno()).st_size == 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.own is not None:
            self.path.unlink(missing_ok=True)
            self.own.close()
