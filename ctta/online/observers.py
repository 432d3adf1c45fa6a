"""Who watches a run: progress on the screen, and wandb."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor

from ctta.online.trace import Trace
from ctta.streams.stream import Batch, Stream

log = logging.getLogger("ctta")
SECONDS_BETWEEN_LINES = 10.0
SECONDS_FOR_WANDB = 20.0
Mode = Literal["offline", "online"]


class Observer(Protocol):
    """Told of a run as it goes; changes nothing."""

    def on_start(self, stream: Stream, first_batch: int) -> None:
        """Before the first batch."""

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

    def on_start(self, stream: Stream, first_batch: int) -> None:
        """Open the bar."""
        self.total, self.done = len(stream), first_batch
        if self.console.is_terminal:
            self.task = self.bar.add_task(
                self.title, total=self.total, completed=first_batch, error=0.0
            )
            self.bar.start()

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """Move on by one batch."""
        self.wrong += int((logits.argmax(1).cpu() != batch.y).sum())
        self.seen += len(batch.y)
        self.done += 1
        error = 100 * self.wrong / self.seen
        if self.console.is_terminal:
            self.bar.update(self.task, advance=1, error=error)
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.say(error)

    def on_end(self, trace: Trace) -> None:
        """Say the result in one line."""
        self.close()
        self.say(100 * trace.n_wrong() / len(trace))  # with what a process before this one saw

    def say(self, error: float) -> None:
        """One plain line."""
        line = f"{self.title}: {self.done}/{self.total}, error {error:.1f} %"
        self.console.print(line, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()


class WandbTracking:
    """Error per batch and at the end, in a wandb run; what fails there is said once and ignored.

    Args:
        config: the run's resolved configuration.
        project: wandb project.
        mode: ``offline`` or ``online``.
        folder: where wandb keeps its files.
    """

    def __init__(self, config: Mapping[str, Any], *, project: str, mode: Mode, folder: str) -> None:
        self.run: Any = None
        self.broken = False

        def start() -> None:
            import wandb

            settings = wandb.Settings(
                init_timeout=SECONDS_FOR_WANDB,
                finish_timeout=SECONDS_FOR_WANDB,
                silent=True,
                console="off",
            )
            with nobody_to_ask():
                self.run = wandb.init(
                    project=project, mode=mode, dir=folder, config=dict(config), settings=settings
                )

        self.attempt(start)

    def attempt(self, action: Callable[[], object]) -> None:
        """Call ``action`` unless an earlier one failed."""
        if self.broken:
            return
        try:
            action()
        except Exception as error:
            self.broken = True
            log.warning("wandb is left out from here on: %s", " ".join(str(error).split()))

    def on_start(self, stream: Stream, first_batch: int) -> None:
        """Nothing to do."""

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """Log the batch's error."""
        wrong = float((logits.argmax(1).cpu() != batch.y).float().mean())
        self.attempt(lambda: self.run.log({"error_pct": 100 * wrong, "segment": batch.segment}))

    def on_end(self, trace: Trace) -> None:
        """Log the error over all samples."""
        error = 100 * trace.n_wrong() / len(trace)
        self.attempt(lambda: self.run.summary.update({"error_all_pct": error}))
        self.close()

    def close(self) -> None:
        """End the wandb run."""
        if self.run is not None:
            self.attempt(lambda: self.run.finish())
            self.run = None
            self.broken = True


@contextmanager
def nobody_to_ask() -> Iterator[None]:
    """Inside, standard input is no terminal: wandb asks for an account where it finds one."""
    terminal, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = terminal
