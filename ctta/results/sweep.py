"""What became of each run of a sweep, also of runs in other processes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from ctta.places import saving, writable
from ctta.results.result import write_text

SWEEPS = ".sweeps"  # in the store, a folder for every sweep that is under way
ENDED_UNSAID = "ended without a word: it was killed, or its machine stopped"


@dataclass(frozen=True)
class Outcome:
    """One run of a sweep.

    Attributes:
        number: of the run in its sweep, from 0.
        total: runs in the sweep; None: not known.
        began: seconds since 1970.
        status: ``running``, ``finished`` or ``failed``.
        reason: of a failed run, on one line.
        result: path of a finished run's record, if it leaves one.
    """

    number: int
    total: int | None
    began: float
    status: str = "running"
    reason: str | None = None
    result: str | None = None


@dataclass(frozen=True)
class Place:
    """Which run of which sweep a process executes, where the process that started it says so.

    Attributes:
        folder: of the sweep.
        number: of the run in it, from 0.
        total: runs in the sweep; None: not known.
    """

    folder: str
    number: int
    total: int | None

    def environment(self) -> dict[str, str]:
        """What the process has to find in its environment."""
        return {"CTTA_SWEEP": json.dumps(asdict(self))}

    @classmethod
    def given(cls) -> Place | None:
        """Of this process; None: it belongs to no other one's sweep."""
        return cls.of(os.environ) if "CTTA_SWEEP" in os.environ else None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """What `environment` of a place holds, read again."""
        return cls(**json.loads(environment["CTTA_SWEEP"]))


class Sweep:
    """The outcomes of one sweep.

    Args:
        folder: for files, if runs are in other processes; it is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store_is_new = not folder.parents[1].exists()
        self.here: dict[int, Outcome] = {}

    def keep(self, outcome: Outcome, *, for_others: bool) -> None:
        """Note an outcome instead of the run's earlier one; ``for_others``: in a file.

        Raises:
            ValueError: the folder cannot be written to.
        """
        self.here[outcome.number] = outcome
        if for_others:
            writable(self.folder, "CTTA_RUNS")
            with saving(self.folder, "CTTA_RUNS"):
                write_text(self.folder / f"{outcome.number}.json", json.dumps(asdict(outcome)))

    def outcomes(self) -> list[Outcome]:
        """All so far, in the order of their numbers."""
        texts = [path.read_text(encoding="utf-8") for path in self.folder.glob("*.json")]
        there = [Outcome(**json.loads(text)) for text in texts]
        found = self.here | {outcome.number: outcome for outcome in there}
        return [found[number] for number in sorted(found)]

    def progress(self) -> str:
        """Done, failed, running and the time left, at the speed until now."""
        found = self.outcomes()
        total, n = found[0].total, len(found)
        n_ended = sum(outcome.status != "running" for outcome in found)
        n_failed = sum(outcome.status == "failed" for outcome in found)
        done = f"{n_ended}" if total is None else f"{n_ended} of {total}"
        text = f"{done} runs done, {n_failed} failed, {n - n_ended} running"
        if total is None or n_ended in (0, total):
            return text
        seconds = time.time() - min(outcome.began for outcome in found)
        left = timedelta(seconds=round(seconds / n_ended * (total - n_ended)))
        return f"{text}, about {left} left"

    def failures(self) -> list[str]:
        """Once the sweep is over, why runs have no result: a line each."""
        found = self.outcomes()
        lines = [
            outcome.reason or f"run {outcome.number} {ENDED_UNSAID}"
            for outcome in found
            if outcome.status != "finished"
        ]
        n_missing = (found[0].total or 0) - len(found) if found else 0
        return lines + ["not started"] * n_missing

    def remove(self) -> None:
        """Take the files away; the runs have records of their own. A dry run leaves no store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # another sweep is under way, or there are runs
            self.folder.parent.rmdir()
            if self.store_is_new:
                self.folder.parents[1].rmdir()
