"""Who watches a run, and its progress on the screen."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor

from ctta.online.trace import Trace
from ctta.streams.stream import Batch, Stream

SECONDS_BETWEEN_LINES = 10.0


class Observer(Protocol):
    """Told of a run as it goes; changes nothing."""

    def on_start(self, stream: Stream, so_far: Trace) -> None:
        """Before the first batch; ``so_far``: the rows that an earlier process has left."""

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """After each batch."""

    def on_end(self, trace: Trace) -> None:
        """After the last batch."""

    def close(self) -> None:
        """In any case, also after an error."""


class Progress:
    """Running error and time left: a bar on a terminal, plain lines elsewhere.

    Args:
        title: stands before the bar.
        console: where it is drawn; None: standard error.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(file=sys.stderr)
        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("error {task.fields[error]:.1f} %"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.wrong = self.seen = self.done = self.total = 0
        self.last_line = time.monotonic()

    def on_start(self, stream: Stream, so_far: Trace) -> None:
        """Open the bar, where the process before this one left it."""
        self.total, self.done = len(stream), so_far.n_batches
        self.wrong, self.seen = so_far.n_wrong(), len(so_far)
        if self.console.is_terminal:
            self.task = self.bar.add_task(
                self.title, total=self.total, completed=self.done, error=self.error()
            )
            self.bar.start()

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """Move on by one batch."""
        self.wrong += int((logits.argmax(1).cpu() != batch.y).sum())
        self.seen += len(batch.y)
        self.done += 1
        if self.console.is_terminal:
            self.bar.update(self.task, advance=1, error=self.error())
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.say()

    def on_end(self, trace: Trace) -> None:
        """Say the result in one line."""
        self.close()
        self.say()

    def error(self) -> float:
        """Of all samples so far, in %."""
        return 100 * self.wrong / max(self.seen, 1)

    def say(self) -> None:
        """One plain line."""
        line = f"{self.title}: {self.done}/{self.total}, error {self.error():.1f} %"
        self.console.print(line, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        if self.console.is_terminal:
            self.bar.stop()  # elsewhere it would print an empty line
