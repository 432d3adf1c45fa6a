"""Signals that ask a run to stop: noted while it can be saved, and looked at between batches."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM, SIGUSR1, Signals
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger("ctta")


class RunStoppedError(BaseException):
    """A signal ended a run that can go on later; as with Ctrl-C, no one handles it on the way.

    Attributes:
        signal: which one.
    """

    def __init__(self, number: Signals, text: str) -> None:
        super().__init__(number, text)  # as it is called: a launcher's process passes it on
        self.signal = number

    def __str__(self) -> str:
        return str(self.args[1])


class StopSignals:
    """Inside, SIGTERM, SIGUSR1 and Ctrl-C stop a run at the next batch, where that saves work.

    Within `deferred` the first of them is noted, for the loop to look at; a second Ctrl-C ends at
    once, as every signal does outside of it. What a signal was set to ignore, as under ``nohup``,
    stays ignored. Signals reach the main thread only: elsewhere this does nothing.

    Attributes:
        noted: the signal that asks to stop; None: go on.
    """

    def __init__(self) -> None:
        self.noted: Signals | None = None
        self.waiting: frozenset[int] = frozenset()
        self.before: dict[Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (SIGTERM, SIGUSR1, SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self.handle)
        return self

    def handle(self, number: int, frame: FrameType | None) -> None:
        """What a signal does."""
        if number in self.waiting and (self.noted is None or number != SIGINT):
            if self.noted is None:
                self.noted = Signals(number)
                log.warning("%s: saving after this batch", self.noted.name)
        elif number == SIGINT:
            raise KeyboardInterrupt
        else:
            raise RunStoppedError(Signals(number), f"stopped by {Signals(number).name}")

    @contextmanager
    def deferred(self, *, ctrl_c: bool) -> Iterator[None]:
        """Inside, SIGTERM and SIGUSR1 wait, and Ctrl-C too where ``ctrl_c``."""
        self.waiting = frozenset({SIGTERM, SIGUSR1, *([SIGINT] if ctrl_c else [])})
        try:
            yield
        finally:
            self.waiting = frozenset()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if error is None and self.noted is not None:  # it came with the last batch
            raise RunStoppedError(self.noted, f"stopped by {self.noted.name} after a finished run")
