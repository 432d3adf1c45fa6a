"""Slurm's queue, by its own commands."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS_TO_END = 90.0  # that cancelled tasks get: Slurm's KillWait is 30


@dataclass(frozen=True)
class Queued:
    """A task in Slurm's queue: its job, its number in the array, and why it waits."""

    name: str
    job: str
    number: int
    state: str
    reason: str


class Queue:
    """The user's tasks in Slurm's queue."""

    def submit(self, script: str) -> tuple[str | None, str]:
        """The new job's number; None if Slurm refuses it, and what it says."""
        done = command("sbatch", "--parsable", stdin=script)
        if done.returncode:
            words = done.stderr.replace("sbatch: error: ", "").split()
            return None, " ".join(words)
        return done.stdout.strip().partition(";")[0], ""

    def tasks(self) -> list[Queued] | None:
        """All that have not ended; None: Slurm does not answer now."""
        words = ["--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%r|%j"]
        done = command("squeue", *words)
        if done.returncode:
            return None
        found = []
        for line in done.stdout.splitlines():
            task, state, reason, name = line.split("|", 3)
            job, _, number = task.partition("_")
            found.append(Queued(name, job, int(number or 0), state, reason))
        return found

    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs, whose runs save themselves; returns when they are gone."""
        command("scancel", *jobs)
        until = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < until:
            tasks = self.tasks()
            if tasks is not None and not any(task.job in jobs for task in tasks):
                return
            time.sleep(1)


def command(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """One of Slurm's commands, executed."""
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
