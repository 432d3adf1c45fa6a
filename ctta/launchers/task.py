"""What one task of a Slurm array executes: its runs, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, SIGUSR1, Signals, signal
from types import FrameType
from typing import Any

STOPPED = 75  # what `ctta run` exits with when a signal stopped it and it can go on


def main(arguments: Sequence[str]) -> int:
    """Run one task.

    Args:
        arguments: the file of tasks, and the number of the array's first one in it.

    Returns:
        0: every run finished; `STOPPED`: queue the task again; 1: a run failed.
    """
    path, first = arguments
    number = int(first) + int(os.environ["SLURM_ARRAY_TASK_ID"])
    runs = json.loads(Path(path).read_text(encoding="utf-8"))[number]
    return status_of(run_all(runs))


def run_all(runs: Sequence[Mapping[str, Any]]) -> list[int]:
    """Start every run, with one of this task's GPUs each; their exit statuses, signals negative.

    Slurm sends its signals to every process of the task, so that nothing is passed on here.
    """
    for number in (SIGTERM, SIGUSR1):
        signal(number, outlive)
    gpus = [g for g in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if g]
    processes = []
    for place, run in enumerate(runs):
        environment = os.environ | run["environment"]
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
        processes.append(subprocess.Popen(run["command"], env=environment))
    statuses = [process.wait() for process in processes]
    for process, status in zip(processes, statuses, strict=True):
        if status < 0:  # it said nothing itself
            sys.stderr.write(f"process {process.pid} was ended by {Signals(-status).name}\n")
    return statuses


def outlive(number: int, frame: FrameType | None) -> None:
    """Wait for the runs to save themselves. A signal that is ignored would be so in them too."""


def status_of(statuses: Sequence[int]) -> int:
    """The task's exit status from those of its runs."""
    # A process that is only starting has no handlers yet: the signal itself ends it.
    if any(status in (STOPPED, -SIGTERM, -SIGUSR1) for status in statuses):
        return STOPPED
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
