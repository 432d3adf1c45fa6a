"""Traces that lie elsewhere: fetched when somebody asks for them, and kept by their hash."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from ctta.data.catalogue import File
from ctta.data.part import discard
from ctta.data.transfer import fetch
from ctta.data.watch import Nobody
from ctta.leaderboard.entry import ShippedTrace
from ctta.places import cache_dir, offline, saving, writable

LARGEST = 256_000_000  # bytes: the answers to 40 million images


def kept(sha256: str) -> Path:
    """Where a fetched trace is kept."""
    return cache_dir() / "traces" / f"{sha256}.npz"


def fetch_trace(trace: ShippedTrace) -> Path:
    """Get a linked trace; nothing is asked for where it is kept already.

    Raises:
        ValueError: no network is allowed, the address does not give it, it is another content than
            the entry says, or larger than `LARGEST`.
    """
    assert trace.link is not None
    path = kept(trace.sha256)
    if path.is_file():
        return path
    if offline():
        raise ValueError("CTTA_OFFLINE is set; unset it to fetch the trace")
    folder = writable(path.parent, "CTTA_CACHE")
    part = folder / f"{path.name}.{os.getpid()}.part"
    file = File(urlsplit(trace.link).path, (trace.link,), sha256=trace.sha256)
    try:
        fetch(file, part, watch=Bounded(), room=bounded)
        with saving(folder, "CTTA_CACHE"):
            part.replace(path)
    finally:
        discard(part)
    return path


def bounded(n_bytes: int) -> None:
    """Refuse what is too large.

    Raises:
        ValueError: it is.
    """
    if n_bytes > LARGEST:
        raise ValueError(f"expected a trace of at most {LARGEST} bytes, the server has {n_bytes}")


class Bounded(Nobody):
    """Ends a transfer of which too much comes, whatever the server said of its size."""

    def __init__(self) -> None:
        self.n_bytes = 0

    def begin(self, what: str, done: int, total: int | None) -> None:
        """Of another step."""
        self.n_bytes = done

    def advance(self, n_bytes: int) -> None:
        """Count.

        Raises:
            ValueError: too much has come.
        """
        self.n_bytes += n_bytes
        bounded(self.n_bytes)
