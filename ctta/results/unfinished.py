"""A run that has not ended: its checkpoint folder, and whether it can go on from there."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ctta.online.resume import STATE, batches_reached
from ctta.online.trace import Trace
from ctta.places import on_disk, saving
from ctta.results.environment import DECIDES_BITS
from ctta.results.result import ResumeRecord, write_text
from ctta.streams.stream import Batch, Stream

log = logging.getLogger("ctta")
CHECKPOINT, FACTS = "checkpoint", "run.json"


class Unfinished:
    """``checkpoint/`` in a run's folder; as an observer it notes where the run goes on.

    Args:
        run: the run's folder.
        identity: the run's.
        environment: what the process that runs it sees.

    Attributes:
        folder: of the checkpoint.
        resumes: each time that the run went on, this one included.
    """

    def __init__(self, run: Path, identity: str, environment: Mapping[str, Any]) -> None:
        self.folder = run / CHECKPOINT
        self.identity, self.environment = identity, dict(environment)
        self.resumes: list[ResumeRecord] = []

    def usable(self) -> bool:
        """Whether the run can go on to the bits of an undisturbed one; if not, says why."""
        try:
            facts = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))
            then, identity = facts["environment"], facts["identity"]
            self.resumes = [ResumeRecord.model_validate(values) for values in facts["resumes"]]
            other = [k for k in DECIDES_BITS if then[k] != self.environment[k]]
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            log.warning("%s is damaged (%s); the run starts again", self.folder / FACTS, error)
            return False
        if identity != self.identity:
            log.warning("%s is of another run; this one starts at its beginning", self.folder)
            return False
        if other:
            changes = ", ".join(f"{k} {then[k]} -> {self.environment[k]}" for k in other)
            log.warning("the checkpoint does not fit here (%s); the run starts again", changes)
            return False
        if then["commit"] != self.environment["commit"]:
            log.warning(
                "the checkpoint is of commit %s, this is %s; --force starts the run again",
                then["commit"],
                self.environment["commit"],
            )
        return True

    def begin(self) -> None:
        """Make the folder anew.

        Raises:
            ValueError: it cannot be written.
        """
        with saving(self.folder, "CTTA_RUNS"):
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True)
            for folder in (self.folder.parent, self.folder.parent.parent):
                on_disk(folder)
        self.resumes = []
        self.write_facts()

    def write_facts(self) -> None:
        """What a process that goes on compares itself with."""
        facts = {
            "identity": self.identity,
            "environment": self.environment,
            "resumes": [r.model_dump() for r in self.resumes],
        }
        with saving(self.folder, "CTTA_RUNS"):
            write_text(self.folder / FACTS, json.dumps(facts, indent=2) + "\n")

    def saved(self) -> bool:
        """Whether there is something to go on from."""
        return (self.folder / STATE).is_file()

    def remove(self) -> None:
        """Take the folder away."""
        with suppress(FileNotFoundError), saving(self.folder, "CTTA_RUNS"):
            shutil.rmtree(self.folder)

    # --- as an observer ------------------------------------------------------------------------

    def on_start(self, stream: Stream, so_far: Trace) -> None:
        """Of a run that goes on: say from where, and how much of it is run again."""
        if not self.saved():
            return
        first_batch, reached = so_far.n_batches, batches_reached(self.folder)
        again = None if reached is None else max(reached - first_batch, 0)
        log.info(
            "goes on after batch %d of %d; batches run again: %s",
            first_batch,
            len(stream),
            "unknown" if again is None else again,
        )
        commit = self.environment["commit"]
        self.resumes.append(ResumeRecord(after_batch=first_batch, run_again=again, commit=commit))
        self.write_facts()

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """Nothing to do."""

    def on_end(self, trace: Trace) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
