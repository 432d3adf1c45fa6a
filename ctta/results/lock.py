"""Who runs a run: the process that holds the lock of its log.txt. A killed process holds none."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO, Any

TRIES, SECONDS = 20, 1.0


def take(file: IO[Any]) -> bool:
    """Take the lock of an open file until it is closed; False: another process keeps it."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # of a run, or for a moment of who asks `held`
            time.sleep(SECONDS / TRIES)
        except OSError:  # a file system without locks
            return True
        else:
            return True
    return False


def held(folder: Path) -> bool:
    """Whether a process is running the run in ``folder``."""
    try:
        with (folder / "log.txt").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no log, or a file system without locks
        return False
    return False
