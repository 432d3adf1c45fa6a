"""The folder of an unfinished run: the rows so far, the state to go on from, how far it came."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch

from ctta.methods.base import Method
from ctta.methods.state import state_sha256
from ctta.online.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ctta.online.stopping import RunStoppedError, StopSignals
from ctta.online.trace import TraceWriter
from ctta.places import saving
from ctta.seeding import generator_states
from ctta.streams.stream import Stream

STATE, ROWS, REACHED = "state.safetensors", "rows", "reached"
SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class Stateful(Protocol):
    """A method, or what stands in front of one."""

    def state_dict(self) -> Mapping[str, Any]: ...


def interval(value: int | str | None) -> tuple[int | None, float | None]:
    """``online.checkpoint_every`` as (batches, seconds), of which at most one is given.

    A bare number counts batches and seconds carry their unit, so that one key cannot be misread and
    cannot contradict a second one.

    Raises:
        ValueError: neither a whole number of at least 1 nor seconds as ``60s``.
    """
    if value is None:
        return None, None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value, None
    found = SECONDS.fullmatch(value) if isinstance(value, str) else None
    if found and float(found[1]) > 0:
        return None, float(found[1])
    raise ValueError(
        "checkpoint_every: expected null, a whole number of batches of at least 1, or seconds "
        f"such as 60s, got {value!r}"
    )


class Saver:
    """Saves a run into its checkpoint folder, now and then and when it is asked to stop.

    Each save replaces the one before when it is whole. Its cost is that of what has changed since
    the method was prepared and of the rows since the last save; it does not grow with the stream.

    Args:
        folder: of the checkpoint; it has the rows too. None: nothing is saved.
        every: see `interval`; None: only when asked to stop.
        method: whose start is not written again.
        stream: what it adapts to.
        device: whose generator counts.
        stop: noted signals.

    Raises:
        ValueError: see `interval`.
    """

    def __init__(
        self,
        folder: Path | None,
        every: int | str | None,
        *,
        method: Method,
        stream: Stream,
        device: torch.device,
        stop: StopSignals | None,
    ) -> None:
        self.folder, self.method, self.stream, self.device = folder, method, stream, device
        self.batches, self.seconds = interval(every)
        self.stop = stop or StopSignals()
        self.start_sha256: str | None = None
        self.inside = ExitStack()

    def __enter__(self) -> Saver:
        if self.folder is not None:
            with saving(self.folder, "CTTA_RUNS"):
                self.counter = os.open(self.folder / REACHED, os.O_WRONLY | os.O_CREAT, 0o666)
            self.inside.callback(os.close, self.counter)
            on_ctrl_c = self.batches is not None or self.seconds is not None
            self.inside.enter_context(self.stop.deferred(ctrl_c=on_ctrl_c))
        self.last = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.inside.close()

    def after(self, n_batches: int, adapt: Stateful, writer: TraceWriter) -> None:
        """Note that ``n_batches`` are done, and save if it is time to.

        Raises:
            RunStoppedError: a signal asked for it, and the run is saved.
            ValueError: it cannot be written.
        """
        if self.folder is None:
            return
        with saving(self.folder, "CTTA_RUNS"):
            # Not flushed to the disk: what a killed process wrote is in the system's hands.
            os.pwrite(self.counter, n_batches.to_bytes(8, "little"), 0)
        asked = self.stop.noted if n_batches < len(self.stream) else None
        by_count = self.batches is not None and n_batches % self.batches == 0
        by_clock = self.seconds is not None and time.monotonic() - self.last >= self.seconds
        if by_count or by_clock or asked:
            self.save(self.folder, adapt, writer)
        if asked:
            where = f"after batch {n_batches} of {len(self.stream)}"
            raise RunStoppedError(asked, f"stopped by {asked.name} and saved {where}")

    def save(self, folder: Path, adapt: Stateful, writer: TraceWriter) -> None:
        """Write the checkpoint.

        Raises:
            ValueError: it cannot be written, or a method has what cannot be saved.
        """
        self.start_sha256 = self.start_sha256 or state_sha256(self.method.start)
        state = {
            "stream_sha256": self.stream.stream_sha256,
            "start_sha256": self.start_sha256,
            "trace": writer.state_dict(),
            "generators": generator_states(self.device),
            "method": adapt.state_dict(),
        }
        with saving(folder, "CTTA_RUNS"):
            save_checkpoint(folder / STATE, state, known=self.method.start)
        self.last = time.monotonic()


def load_state(folder: Path, method: Method, stream: Stream, writer: TraceWriter) -> dict[str, Any]:
    """What `Saver` wrote, whole and of this method and stream; ``writer`` goes on after its rows.

    Raises:
        CheckpointError: it is not; the method is as it was.
    """
    state: dict[str, Any] = load_checkpoint(folder / STATE, known=method.start)
    if state["stream_sha256"] != stream.stream_sha256:
        raise CheckpointError(f"{folder} belongs to another stream")
    if state["start_sha256"] != state_sha256(method.start):
        raise CheckpointError(f"{folder} belongs to a method with another start")
    try:
        writer.go_on(folder / ROWS, state["trace"])
    except (ValueError, OSError) as error:
        raise CheckpointError(str(error)) from error
    return state


def batches_reached(folder: Path) -> int | None:
    """Batches that the process before had done; None: it left no word."""
    try:
        content = (folder / REACHED).read_bytes()
    except OSError:
        return None
    return int.from_bytes(content, "little") if len(content) == 8 else None
