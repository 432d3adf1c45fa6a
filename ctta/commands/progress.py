"""How far a task is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ctta.data.watch import Watch

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """Someone who shows on ``console`` how far a task is."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress)


class Bar:
    """One bar, for the step that is under way.

    Args:
        progress: draws it.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def begin(self, what: str, done: int, total: int | None) -> None:
        """A bar for the next step instead of the last one's."""
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task(what, total=total, completed=done)

    def advance(self, n_bytes: int) -> None:
        """Longer."""
        if self.task is not None:
            self.progress.advance(self.task, n_bytes)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.progress.console.print(text, highlight=False, markup=False)


class Lines:
    """A line where a step begins, and one every `SECONDS_BETWEEN_LINES`.

    Args:
        console: where they go.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.what, self.done, self.total = "", 0, 0
        self.last = time.monotonic()

    def begin(self, what: str, done: int, total: int | None) -> None:
        """What is done now."""
        self.what, self.done, self.total = what, done, total or 0
        self.last = time.monotonic()
        self.say(f"{what}: {self.so_far()}" if done or total else what)

    def advance(self, n_bytes: int) -> None:
        """How far it is, if the last line was long ago."""
        self.done += n_bytes
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            self.say(f"{self.what}: {self.so_far()}")

    def so_far(self) -> str:
        """MiB, and of how many."""
        of = f" of {self.total / 2**20:.1f}" if self.total else ""
        return f"{self.done / 2**20:.1f}{of} MiB"

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, highlight=False, markup=False)
