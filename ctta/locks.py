"""Locks between processes. The system drops those of a process that died, however it died."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ctta.places import saving

log = logging.getLogger("ctta")
TRIES, SECONDS = 20, 1.0


@contextmanager
def making(path: Path, variable: str) -> Iterator[None]:
    """Around what looks for the file ``path`` and makes it where it is not there: of several
    processes one makes it, and the others wait for it.

    Where it is there already, nothing is locked. The lock is on a file beside it; the system drops
    the lock of a process that is killed, and the next one makes the file.

    Raises:
        ValueError: the folder cannot be written to.
    """
    if path.is_file():
        yield
        return
    beside = path.with_name(f".{path.name}.lock")
    with saving(path.parent, variable):
        lock = acquired(beside, f"another process makes {path}; waiting for it")
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        os.close(lock)


def acquired(path: Path, notice: str) -> int:
    """Descriptor of the file at ``path`` with the lock on it; ``notice`` is said if it waits."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info(notice)
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Its holder may have removed the file meanwhile; a lock on that one excludes nobody.
        try:
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except FileNotFoundError:
            pass
        os.close(lock)


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
    """Whether a process is running the run in ``folder``: it holds the lock of log.txt."""
    try:
        with (folder / "log.txt").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no log, or a file system without locks
        return False
    return False
