"""A sweep through Slurm: arrays of tasks, whose runs leave their own word of how they ended.

Slurm's view decides only what is waited for: whether a task is still in the queue, and whether it
may be queued again. Its accounting is not asked: it lags, and a run that failed is COMPLETED there.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ctta.launchers.slurm_jobs import FOLDER, TASKS, job_name, jobs_named
from ctta.launchers.slurm_queue import Queue, Queued
from ctta.launchers.task import STOPPED
from ctta.places import saving, writable
from ctta.results.result import write_text
from ctta.results.sweep import ENDED_UNSAID, Outcome, Place, Sweep
from ctta.results.values import whole_number

log = logging.getLogger("ctta")
# Of what sbatch says when fewer tasks at once, or the same later, would be taken.
FULL = re.compile("limit|array|temporar", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """The keys of ``launcher`` in configs/launcher/slurm.yaml, where they are explained.

    Raises:
        ValueError: a value that does not fit.
    """

    through: str
    partition: str | None
    time: str | int | None
    memory: str | int | None
    cpus_per_task: int
    gpus_per_task: int
    runs_per_gpu: int
    at_once: int | None
    save_seconds: int
    requeues: int
    poll_seconds: int
    options: Mapping[str, str | int | bool | None] | None

    def __post_init__(self) -> None:
        for name, least in (
            ("cpus_per_task", 1),
            ("gpus_per_task", 0),
            ("runs_per_gpu", 1),
            ("save_seconds", 1),
            ("requeues", 0),
            ("poll_seconds", 1),
        ):
            whole_number(getattr(self, name), f"launcher.{name}", at_least=least)
        if self.at_once is not None:
            whole_number(self.at_once, "launcher.at_once", at_least=1)
        if self.runs_per_gpu > 1 and not self.gpus_per_task:
            raise ValueError(
                f"launcher.runs_per_gpu: expected 1 with launcher.gpus_per_task=0, "
                f"got {self.runs_per_gpu}"
            )

    @property
    def runs_per_task(self) -> int:
        """A run uses one GPU, or none."""
        return max(self.gpus_per_task, 1) * self.runs_per_gpu

    def flags(self) -> dict[str, Any]:
        """Options of sbatch, without those that are None."""
        found = {
            "partition": self.partition,
            "time": self.time,
            "mem": self.memory,
            "ntasks": 1,
            "cpus-per-task": self.cpus_per_task,
            "gpus-per-task": self.gpus_per_task or None,
            "signal": f"USR1@{self.save_seconds}",
            "requeue": True,
            "open-mode": "append",  # a task that is queued again adds to its output
            **(self.options or {}),
        }
        return {name: value for name, value in found.items() if value not in (None, False)}


def batch_script(settings: Settings, folder: Path, name: str, *, first: int, n_tasks: int) -> str:
    """What sbatch is given.

    Args:
        settings: the configuration.
        folder: with the file of tasks; the output goes there too.
        name: of the job.
        first: number of the array's first task in the file; an array counts from 0.
        n_tasks: of the array.
    """
    at_once = f"%{settings.at_once}" if settings.at_once else ""
    flags = {
        "job-name": name,
        "array": f"0-{n_tasks - 1}{at_once}",
        "output": folder / "%A_%a.txt",
        "chdir": Path.cwd(),
        **settings.flags(),
    }
    lines = [
        f"#SBATCH --{flag}" + ("" if value is True else f"={shlex.quote(str(value))}")
        for flag, value in flags.items()
    ]
    task = [sys.executable, "-m", "ctta.launchers.task", str(folder / TASKS), str(first)]
    # With srun the runs are a step: Slurm signals steps, not the script. A job that somebody
    # cancelled or that Slurm itself queues again is not RUNNING any more.
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            f"srun --ntasks=1 --cpus-per-task={settings.cpus_per_task} {shlex.join(task)}",
            "status=$?",
            f'if [ $status -eq {STOPPED} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt '
            f"{settings.requeues} ] &&",
            '   [ "$(squeue --noheader --jobs=$SLURM_JOB_ID --format=%T)" = RUNNING ]; then',
            "  scontrol requeue $SLURM_JOB_ID",
            "fi",
            "exit $status",
            "",
        ]
    )


@dataclass(frozen=True)
class SlurmRun:
    """One run of a sweep that goes to Slurm.

    Attributes:
        number: of the run, from 0.
        total: runs in the sweep.
        command: what executes it.
        settings: ``launcher`` of its configuration.
        dry_run: only the batch script is wanted.
    """

    number: int
    total: int
    command: Sequence[str]
    settings: Mapping[str, Any]
    dry_run: bool


def through_slurm(runs: Sequence[SlurmRun], sweep: Sweep) -> None:
    """Execute the runs of a sweep in Slurm's hands; their outcomes are noted in ``sweep``.

    Raises:
        ValueError: a setting that does not fit, or Slurm refuses; see `SlurmSweep`.
    """
    settings = Settings(**runs[0].settings)
    on_its_way = SlurmSweep(runs, sweep, settings, Queue())
    if runs[0].dry_run:
        script = on_its_way.script(len(on_its_way.tasks))
        Console().print(script, highlight=False, markup=False, soft_wrap=True)
    else:
        on_its_way.execute()


class SlurmSweep:
    """One sweep on its way through Slurm.

    Args:
        runs: its runs.
        sweep: where their outcomes are noted, on a file system that the nodes see.
        settings: the configuration.
        queue: Slurm.
    """

    def __init__(
        self, runs: Sequence[SlurmRun], sweep: Sweep, settings: Settings, queue: Queue
    ) -> None:
        self.runs, self.sweep, self.settings, self.queue = runs, sweep, settings, queue
        size = settings.runs_per_task
        self.tasks = [runs[start : start + size] for start in range(0, len(runs), size)]
        self.name = job_name(sweep.folder, [run.command for run in runs])
        self.folder = sweep.folder / FOLDER
        self.jobs: dict[str, int] = {}  # job -> number of its first task
        self.n_submitted = 0
        self.full = math.inf  # tasks of this sweep in the queue that Slurm did not add to
        self.missing: set[int] = set()  # tasks that were not in the queue when last asked
        self.said: object = None

    def script(self, n_tasks: int) -> str:
        """What submits the next ``n_tasks`` tasks."""
        first = self.n_submitted
        return batch_script(self.settings, self.folder, self.name, first=first, n_tasks=n_tasks)

    def execute(self) -> None:
        """Submit the runs and wait for their ends; then each has an outcome.

        Ctrl-C cancels what is in the queue. Any other end of this process leaves it there.

        Raises:
            ValueError: there is no Slurm here, it refuses the tasks, or it does not answer.
        """
        if shutil.which("sbatch") is None:
            raise ValueError(
                "launcher=slurm: there is no sbatch on this machine; type the command on one of "
                "the cluster's, or launcher=joblib"
            )
        self.wait_for_earlier()
        self.write_tasks()
        try:
            while True:
                tasks = self.queue.tasks()
                if tasks is not None and self.all_over(tasks):
                    break
                time.sleep(self.settings.poll_seconds)
        except BaseException:
            if self.jobs:
                log.error("cancelling what is left of the Slurm jobs %s", ", ".join(self.jobs))
                self.queue.cancel(list(self.jobs))
            raise
        self.note_ends()
        log.info(self.sweep.progress())

    def wait_for_earlier(self) -> None:
        """Return when no task of the same command is in the queue."""
        said = False
        while True:
            tasks = self.queue.tasks()
            if tasks is None:
                raise ValueError("Slurm does not answer; type squeue to see what it says")
            jobs = jobs_named(self.name, tasks)
            if not jobs:
                return
            if not said:
                listed = " ".join(jobs)
                log.warning(
                    "the same command has left the Slurm jobs %s: waiting for their end; "
                    "scancel %s ends them",
                    listed,
                    listed,
                )
                said = True
            time.sleep(self.settings.poll_seconds)

    def write_tasks(self) -> None:
        """What each task reads: its runs' commands, and where each notes its outcome."""
        tasks = [
            [
                {
                    "command": list(run.command),
                    "environment": Place(
                        str(self.sweep.folder), run.number, run.total
                    ).environment(),
                }
                for run in task
            ]
            for task in self.tasks
        ]
        writable(self.folder, "CTTA_RUNS")
        with saving(self.folder, "CTTA_RUNS"):
            write_text(self.folder / TASKS, json.dumps(tasks))

    def all_over(self, tasks: Sequence[Queued]) -> bool:
        """Look at the queue and the outcomes, submit what is left; whether all has ended.

        A task that is not in the queue twice in a row has ended, whatever its runs noted: the first
        time, its last words may still be on their way through the file system.
        """
        os.utime(self.folder)  # while tasks wait in the queue, nobody writes there
        here = [task for task in tasks if task.job in self.jobs]
        missing = set(range(self.n_submitted)) - {self.jobs[t.job] + t.number for t in here}
        ended = {outcome.number for outcome in self.sweep.outcomes() if outcome.status != "running"}
        over = missing & self.missing
        over |= {i for i, task in enumerate(self.tasks) if {run.number for run in task} <= ended}
        self.missing = missing
        self.say(here, len(ended))
        self.submit(len(here), alone=len(here) == len(tasks))
        return len(over) == len(self.tasks)

    def submit(self, n_here: int, *, alone: bool) -> None:
        """Submit as many of the remaining tasks as Slurm takes.

        Args:
            n_here: tasks of this sweep in the queue.
            alone: the user has no others there.

        Raises:
            ValueError: it takes none, and nothing says that it will later.
        """
        size = left = len(self.tasks) - self.n_submitted
        while left and (n_here < self.full or not self.full):
            job, refusal = self.queue.submit(self.script(size))
            if job is not None:
                self.jobs[job] = self.n_submitted
                self.n_submitted, n_here = self.n_submitted + size, n_here + size
                left -= size
                size = min(size, left)
            elif not FULL.search(refusal) or (size == 1 and alone and not n_here):
                raise ValueError(
                    f"Slurm refuses the runs: {refusal}; change launcher.partition, .time, "
                    ".memory or .options"
                )
            elif size > 1:
                size //= 2
            else:
                if n_here != self.full:
                    log.info("Slurm takes %d tasks now (%s); %d wait here", n_here, refusal, left)
                self.full = n_here
                break

    def say(self, here: Sequence[Queued], n_ended: int) -> None:
        """How far the sweep is, if that has changed."""
        states = Counter(
            f"{task.state} ({task.reason})" if task.state == "PENDING" else task.state
            for task in here
        )
        if self.jobs and self.said != (n_ended, states):
            self.said = n_ended, states
            in_queue = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
            done = self.sweep.progress() if self.sweep.outcomes() else "no run has begun"
            log.info("%s; in Slurm's queue: %s", done, in_queue or "none")

    def note_ends(self) -> None:
        """Note why, for each run that left no word of its end."""
        found = {outcome.number: outcome for outcome in self.sweep.outcomes()}
        for number, task in enumerate(self.tasks):
            for run in task:
                outcome = found.get(run.number)
                if outcome is None:
                    outcome = Outcome(run.number, run.total, began=time.time())
                    reason = f"run {run.number} was not started"
                else:
                    reason = outcome.reason or f"run {run.number} {ENDED_UNSAID}"
                if outcome.status == "running":
                    reason += self.last_words(number)
                    done = replace(outcome, status="failed", reason=reason)
                    self.sweep.keep(done, for_others=True)

    def last_words(self, number: int) -> str:
        """The last line of a task's output but srun's, to stand after the reason of a failure."""
        job, first = max((j for j in self.jobs.items() if j[1] <= number), key=lambda j: j[1])
        try:
            text = (self.folder / f"{job}_{number - first}.txt").read_text(errors="replace")
        except OSError:
            return ""
        said = [line for line in text.splitlines() if line.strip() and line[:5] != "srun:"]
        return f" (its output ends: {said[-1]})" if said else ""
