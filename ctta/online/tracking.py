"""A run followed in wandb."""

from __future__ import annotations

import glob
import io
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ctta.online.trace import Trace, values
from ctta.streams.stream import Batch, Stream

log = logging.getLogger("ctta")
SECONDS_FOR_WANDB = 20.0
Mode = Literal["offline", "online"]
COLUMNS = ("segment", "domain", "samples", "error_pct", "nll", "entropy")


class WandbTracking:
    """Errors by batch and by segment, the result and its files, in one wandb run a run.

    The wandb run's id is the run's name, so that a run which goes on from a checkpoint goes on in
    the same wandb run. What wandb had not yet written when the earlier process was killed is lost;
    so the batches before the checkpoint come from the trace again. The step of a batch is its
    number: a server is sent what it lacks; the files of a run without one have all of it, and once
    it has ended they replace those of earlier processes.

    What fails here is said once and ignored. A server that does not answer holds a run up for at
    most `SECONDS_FOR_WANDB` at its beginning and at its end; the run is kept for ``wandb sync``.

    Args:
        name: of the run, also the id of the wandb run.
        config: the run's resolved configuration and what else it is known by.
        folder: where wandb keeps its files.
        project: of wandb.
        entity: user or team; None: the account's default.
        group: runs that are shown together.
        tags: of the run.
        mode: ``offline`` or ``online``.
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        *,
        folder: Path,
        project: str,
        entity: str | None,
        group: str,
        tags: Sequence[str],
        mode: Mode,
    ) -> None:
        self.name, self.mode, self.folder = name, mode, folder
        self.options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "id": name,
            "name": name,
            "group": group,
            "tags": list(tags),
            "config": dict(config),
            "dir": str(folder),
        }
        self.run: Any = None
        self.broken = False
        self.superseded: list[Path] = []
        self.table: list[list[Any]] = []
        self.summary: Mapping[str, Any] | None = None
        self.files: Sequence[Path] = ()

    def attempt(self, action: Callable[[], object]) -> None:
        """Call ``action`` unless an earlier one failed."""
        if self.broken:
            return
        try:
            action()
        except Exception as error:
            self.broken = True
            log.warning("wandb is left out from here on: %s", on_one_line(error))

    def start(self, *, goes_on: bool) -> None:
        """Begin the wandb run, or go on with it; without an answer offline."""
        # Its own reports of errors would hold up the end of the process by 10 s where their server
        # does not answer.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        settings = wandb.Settings(
            init_timeout=SECONDS_FOR_WANDB,
            finish_timeout=SECONDS_FOR_WANDB,
            reinit="create_new",  # whatever other runs there are in this process
            silent=True,
            console="off",
        )
        if self.mode == "offline":
            own = f"offline-run-*-{glob.escape(self.name)}"
            self.superseded = list((self.folder / "wandb").glob(own))
        begin = partial(wandb.init, **self.options, settings=settings)
        with nobody_to_ask():
            try:
                # Without "allow", the run takes the place of what there is under its id.
                goes_on = goes_on and self.mode == "online"
                self.run = begin(mode=self.mode, resume="allow" if goes_on else None)
            except Exception as error:
                if self.mode == "offline":
                    raise
                log.warning(
                    "wandb goes on offline: %s; 'wandb sync' in %s sends the run later",
                    on_one_line(error),
                    self.folder,
                )
                wandb.teardown()  # its service holds the id of the run that did not begin
                self.run = begin(mode="offline")
        for series in ("batch", "segment"):
            self.run.define_metric(f"{series}/*", step_metric=f"{series}/number", summary="none")

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Log ``values``, unless the server has that step already."""

        def send() -> None:
            if step >= self.run.starting_step:
                self.run.log(dict(values), step=step, commit=True)

        self.attempt(send)

    def on_start(self, stream: Stream, so_far: Trace) -> None:
        """Begin, with the batches of an earlier process."""
        self.attempt(lambda: self.start(goes_on=so_far.n_batches > 0))
        self.number = self.wrong = self.seen = 0
        self.segment = self.segment_wrong = self.segment_seen = 0
        for segment, wrong, size in batches(so_far):
            self.add(segment, wrong, size)

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """Log the batch's error."""
        wrong = int((logits.argmax(1).cpu() != batch.y).sum())
        self.add(batch.segment, wrong, len(batch.y))

    def add(self, segment: int, wrong: int, size: int) -> None:
        """Log the error of a batch, and that of the segment which ended before it."""
        row: dict[str, Any] = {}
        if segment != self.segment:
            row = self.of_segment()
            self.segment, self.segment_wrong, self.segment_seen = segment, 0, 0
        self.wrong, self.seen = self.wrong + wrong, self.seen + size
        self.segment_wrong, self.segment_seen = self.segment_wrong + wrong, self.segment_seen + size
        row["batch/number"] = self.number
        row["batch/segment"] = self.segment
        row["batch/error_pct"] = 100 * wrong / size
        row["batch/error_so_far_pct"] = 100 * self.wrong / self.seen
        self.log(self.number, row)
        self.number += 1

    def of_segment(self) -> dict[str, Any]:
        """The error of the segment at hand."""
        return {
            "segment/number": self.segment,
            "segment/error_pct": 100 * self.segment_wrong / max(self.segment_seen, 1),
        }

    def on_end(self, trace: Trace) -> None:
        """Log the last segment."""
        self.table = segment_table(trace)
        self.log(self.number, self.of_segment())

    def keep(self, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """The result, to be the summary, and ``files`` to be an artifact."""
        self.summary, self.files = summary, files

    def close(self) -> None:
        """End the wandb run; one without a result has failed there, until the run goes on."""
        if self.run is None:
            return
        # In a thread: with a table or an artifact, wandb waits for its server as long as it likes.
        ending = Thread(target=self.attempt, args=[partial(self.end, self.run)], daemon=True)
        ending.start()
        ending.join(SECONDS_FOR_WANDB)
        if ending.is_alive():
            log.warning(
                "wandb did not end in %g s; 'wandb sync' in %s sends what is not sent then",
                SECONDS_FOR_WANDB,
                self.folder,
            )
        self.run = None

    def end(self, run: Any) -> None:
        """Hand the result over, and finish."""
        import wandb

        try:
            if self.summary is not None:
                run.summary.update(dict(self.summary))
                run.log({"segments": wandb.Table(columns=list(COLUMNS), data=self.table)})
            if self.files:
                artifact = wandb.Artifact(self.name, type="result")
                for file in self.files:
                    artifact.add_file(str(file))
                run.log_artifact(artifact)
        finally:
            run.finish(exit_code=1 if self.summary is None else 0)
        if self.summary is not None:
            for folder in self.superseded:
                shutil.rmtree(folder, ignore_errors=True)


def batches(trace: Trace) -> Iterator[tuple[int, int, int]]:
    """Of each batch its segment, how many of its samples are wrong, and how many it has."""
    names = ("segment", "prediction", "label")
    rows = zip(*(values(trace.samples[name]) for name in names), strict=True)
    for size in values(trace.batches["batch_size"]):
        own = list(islice(rows, size))
        yield own[0][0], sum(prediction != label for _, prediction, label in own), size


def segment_table(trace: Trace) -> list[list[Any]]:
    """A row of `COLUMNS` for every domain of every segment, in order of segments."""
    n_domains = len(trace.domain_names)
    sums: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for piece in trace.pieces():
        keys = piece["segment"].astype(np.int64) * n_domains + piece["domain"]
        found, where = np.unique(keys, return_inverse=True)
        columns = (
            np.ones(len(keys)),
            100 * (piece["prediction"] != piece["label"]),
            -piece["label_logprob"].astype(np.float64),
            piece["entropy"].astype(np.float64),
        )
        totals = np.array([np.bincount(where, weights=column) for column in columns]).T
        for key, total in zip(found.tolist(), totals, strict=True):
            sums[key] = sums.get(key, 0) + total
    return [
        [
            key // n_domains,
            trace.domain_names[key % n_domains],
            int(total[0]),
            *(total[1:] / total[0]).tolist(),
        ]
        for key, total in sorted(sums.items())
    ]


def on_one_line(error: Exception) -> str:
    """What wandb says in several lines."""
    return " ".join(str(error).split())


@contextmanager
def nobody_to_ask() -> Iterator[None]:
    """Inside, standard input is no terminal: wandb asks for an account where it finds one."""
    terminal, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = terminal
