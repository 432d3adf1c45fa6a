"""The jobs of a sweep in Slurm's queue: by what name they are found, and which may still start."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ctta.launchers.slurm_queue import Queue, Queued
from ctta.results.sweep import Place

FOLDER, TASKS = "slurm", "tasks.json"  # in a sweep's folder: what its jobs read


def job_name(sweep: Path, commands: Sequence[Sequence[str]]) -> str:
    """The same for the same command in the same store: what an earlier one left is found by it.

    Args:
        sweep: folder of the sweep.
        commands: of its runs.
    """
    what = json.dumps([str(sweep.parent), *map(list, commands)])
    return f"ctta-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def jobs_named(name: str, tasks: Sequence[Queued]) -> list[str]:
    """The jobs of that name among tasks in the queue."""
    return sorted({task.job for task in tasks if task.name == name})


def why_needed(sweep: Path, queue: Queue) -> str | None:
    """Why the files of a sweep whose command has died have to stay; None: no job will read them.

    Where the queue cannot be asked, they stay: a task waits in it for days, and without its file
    it fails when it starts.

    Args:
        sweep: folder of the sweep.
        queue: Slurm.
    """
    path = sweep / FOLDER / TASKS
    if not path.is_file():
        return None  # it is written before anything is submitted
    if path.stat().st_uid != os.getuid():
        return "another user's Slurm jobs may still start; that user has to remove it"
    tasks = queue.tasks() if shutil.which("squeue") else None
    if tasks is None:
        return (
            "Slurm jobs of it may still start, and squeue does not answer here; type the same "
            "where it does, or rm -r it if there are none"
        )
    runs = [run for task in json.loads(path.read_text(encoding="utf-8")) for run in task]
    place = Place.of(runs[0]["environment"])
    jobs = jobs_named(job_name(Path(place.folder), [run["command"] for run in runs]), tasks)
    if not jobs:
        return None
    listed = " ".join(jobs)
    return f"its Slurm jobs {listed} may still start; scancel {listed} ends them"
