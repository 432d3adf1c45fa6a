"""One process at a time."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file at ``path``.

    The system drops the lock of a process that has died, however it died, so that nothing is left
    to clean up; the file itself stays.

    Args:
        path: of the lock file; its folder is there.
        what: is done meanwhile, as the beginning of a message.

    Raises:
        ValueError: another process holds it; the message names that process.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.read_text(encoding="utf-8") or "another process"
            raise ValueError(
                f"{what}: {owner} is at it already; wait for its end, then type the same command"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
