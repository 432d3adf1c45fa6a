"""The way of a sweep through Slurm, with a queue that is played."""

import json
import os
import sys
from dataclasses import replace
from signal import SIGKILL, SIGTERM

import pytest
import yaml

from ctta.assets import asset_dir
from ctta.launchers import task
from ctta.launchers.slurm import Settings, SlurmRun, SlurmSweep, batch_script
from ctta.launchers.slurm_queue import Queued
from ctta.results.sweep import Outcome, Place, Sweep

SETTINGS = yaml.safe_load((asset_dir("configs") / "launcher/slurm.yaml").read_text())["launcher"]


class PlayedQueue:
    """Takes ``most`` tasks at a time; each look at it ends the oldest one by ``end``."""

    def __init__(self, most=100, largest=100, end=lambda number: None, refusal="submit limit"):
        self.most, self.largest, self.end, self.refusal = most, largest, end, refusal
        self.here: list[Queued] = []
        self.scripts: list[str] = []
        self.cancelled: list[str] = []
        self.others: list[Queued] = []

    def submit(self, script):
        words = dict(
            line[10:].split("=", 1)
            for line in script.splitlines()
            if line.startswith("#SBATCH --") and "=" in line
        )
        n = int(words["array"].split("-")[1].split("%")[0]) + 1
        if n > self.largest:
            return None, "Invalid job array specification"
        if len(self.here) + n > self.most:
            return None, self.refusal
        self.scripts.append(script)
        job = str(len(self.scripts))
        self.here += [Queued(words["job-name"], job, i, "RUNNING", "None") for i in range(n)]
        return job, ""

    def tasks(self):
        if self.here:
            self.end(self.here.pop(0))
        return [*self.others, *self.here]

    def cancel(self, jobs):
        self.cancelled += jobs


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path / "runs/.sweeps/one")


@pytest.fixture
def through(sweep, monkeypatch):
    """A sweep of ``n`` runs on its way through a queue."""
    monkeypatch.setattr("ctta.launchers.slurm.shutil.which", lambda name: f"/usr/bin/{name}")
    looks = iter(range(100))
    monkeypatch.setattr("ctta.launchers.slurm.time.sleep", lambda seconds: next(looks))

    def through(n, queue, **settings):
        runs = [SlurmRun(i, n, ["true", str(i)], SETTINGS, False) for i in range(n)]
        found = SlurmSweep(runs, sweep, Settings(**SETTINGS | settings), queue)

        def finish(ended):
            number = found.jobs[ended.job] + ended.number
            sweep.keep(Outcome(number, n, 1.0, status="finished"), for_others=True)

        if queue.end is True:
            queue.end = finish
        return found

    return through


def flags(script):
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line]


def test_the_settings_become_options_of_sbatch(tmp_path):
    chosen = SETTINGS | {
        "partition": "gpu",
        "at_once": 5,
        "options": {"qos": "low", "overcommit": True, "mail-user": None},
    }
    found = flags(batch_script(Settings(**chosen), tmp_path, "ctta-x", first=0, n_tasks=12))
    wanted = "--array=0-11%5 --partition=gpu --time=04:00:00 --mem=16G --gpus-per-task=1 --requeue"
    wanted += " --cpus-per-task=4 --signal=USR1@120 --open-mode=append --qos=low --overcommit"
    for flag in wanted.split():
        assert flag in found
    on_cpu = Settings(**SETTINGS | {"gpus_per_task": 0, "memory": None, "time": None})
    found = " ".join(flags(batch_script(on_cpu, tmp_path, "ctta-x", first=0, n_tasks=1)))
    assert "partition" not in found
    assert "gpus" not in found
    assert "--mem" not in found
    assert "--time" not in found


@pytest.mark.parametrize(
    ("key", "value"),
    [("cpus_per_task", 0), ("gpus_per_task", -1), ("runs_per_gpu", "2"), ("at_once", 0)],
)
def test_a_setting_that_does_not_fit_is_named(key, value):
    with pytest.raises(ValueError, match=f"launcher.{key}: expected a whole number"):
        Settings(**SETTINGS | {key: value})


def test_runs_share_a_gpu_only_where_there_is_one():
    with pytest.raises(ValueError, match=r"runs_per_gpu: expected 1 with launcher.gpus_per_task=0"):
        Settings(**SETTINGS | {"gpus_per_task": 0, "runs_per_gpu": 2})
    assert Settings(**SETTINGS | {"gpus_per_task": 2, "runs_per_gpu": 3}).runs_per_task == 6
    assert Settings(**SETTINGS | {"gpus_per_task": 0}).runs_per_task == 1


def test_more_runs_than_slurm_takes_at_once_go_in_portions(through, sweep):
    queue = PlayedQueue(most=4, largest=3, end=True)
    through(11, queue).execute()
    assert {o.number for o in sweep.outcomes() if o.status == "finished"} == set(range(11))
    assert len(queue.scripts) > 3
    firsts = [int(s.split("tasks.json ")[1].split()[0]) for s in queue.scripts]
    assert firsts[0] == 0
    assert firsts == sorted(set(firsts))


def test_a_refusal_for_good_ends_the_sweep(through):
    with pytest.raises(ValueError, match="refuses the runs: invalid partition; change launcher"):
        through(2, PlayedQueue(most=0, refusal="invalid partition")).execute()
    with pytest.raises(ValueError, match="refuses the runs: submit limit"):
        through(2, PlayedQueue(most=0)).execute()


def test_others_of_the_user_may_fill_the_queue_for_a_while(through, sweep):
    queue = PlayedQueue(most=0, end=True)
    queue.others = [Queued("something", "99", 0, "RUNNING", "None")]
    looks = iter(range(5))

    def tasks():
        if next(looks, None) == 3:
            queue.most, queue.others = 2, []
        return PlayedQueue.tasks(queue)

    queue.tasks = tasks
    through(2, queue).execute()
    assert len(sweep.outcomes()) == 2


def test_a_task_that_left_no_word_gets_one(through, sweep):
    queue = PlayedQueue(end=lambda ended: None)
    found = through(3, queue)
    sweep.keep(Outcome(1, 3, 1.0, reason="stopped by SIGTERM and saved"), for_others=True)
    sweep.keep(Outcome(2, 3, 1.0), for_others=True)
    found.write_tasks()
    (found.folder / "1_2.txt").write_text("Killed by the kernel\nsrun: error: exit code 137\n")
    found.execute()
    assert sweep.failures() == [
        "run 0 was not started",
        "stopped by SIGTERM and saved",
        "run 2 ended without a word: it was killed, or its machine stopped "
        "(its output ends: Killed by the kernel)",
    ]


def test_the_same_command_waits_for_what_an_earlier_one_left(through, sweep, caplog):
    queue = PlayedQueue(end=True)
    found = through(1, queue)
    queue.others = [Queued(found.name, "7", 0, "RUNNING", "None")]
    looks = iter(range(2))

    def tasks():
        if next(looks, None) is None:
            queue.others = []
        assert not (queue.others and queue.scripts), "submitted beside the earlier ones"
        return PlayedQueue.tasks(queue)

    queue.tasks = tasks
    found.execute()
    assert "scancel 7 ends them" in caplog.text


@pytest.mark.parametrize(
    ("squeue", "said"),
    [
        ("echo '7_0|PENDING|Priority|NAME'", "its Slurm jobs 7 may still start; scancel 7 ends"),
        ("echo '8|PENDING|Priority|something-else'", None),
        ("echo cannot connect >&2; exit 1", "squeue does not answer here; type the same where it"),
        ("", "squeue does not answer here; type the same where it"),
    ],
)
def test_files_stay_while_a_job_of_a_command_that_died_may_start(
    ctta, sweep, tmp_path, monkeypatch, squeue, said
):
    """After more than a day in the queue."""
    runs = [SlurmRun(i, 2, ["true", str(i)], SETTINGS, False) for i in range(2)]
    found = SlurmSweep(runs, sweep, Settings(**SETTINGS), PlayedQueue())
    found.write_tasks()
    for path in (*found.folder.iterdir(), found.folder, sweep.folder):
        os.utime(path, (1e9, 1e9))
    (tmp_path / "bin").mkdir()
    if squeue:
        program = tmp_path / "bin/squeue"
        program.write_text(f"#!/bin/sh\n{squeue.replace('NAME', found.name)}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    status, out, err = ctta("runs", "gc", "--delete")
    assert (status, err) == (0, "")
    if said is None:
        assert (out.startswith("removed: .sweeps/one"), sweep.folder.exists()) == (True, False)
    else:
        assert out.startswith("left alone, ")
        assert said in out
        assert (found.folder / "tasks.json").exists()
    # A sweep without jobs needs nobody's answer.
    other = sweep.folder.with_name("two")
    other.mkdir(parents=True)
    os.utime(other, (1e9, 1e9))
    ctta("runs", "gc", "--delete")
    assert not other.exists()


def test_ctrl_c_cancels_what_is_in_the_queue(through):
    queue = PlayedQueue()

    def tasks():
        if queue.here:
            raise KeyboardInterrupt
        return []

    queue.tasks = tasks
    with pytest.raises(KeyboardInterrupt):
        through(3, queue).execute()
    assert queue.cancelled == ["1"]


def test_a_machine_without_slurm_is_said(through, monkeypatch):
    found = through(1, PlayedQueue())
    monkeypatch.setattr("ctta.launchers.slurm.shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="no sbatch on this machine"):
        found.execute()


def test_a_task_deals_its_runs_to_its_gpus(through, tmp_path, monkeypatch):
    """Each is a process of its own, and knows its place in the sweep."""
    found = through(4, PlayedQueue(), gpus_per_task=2, runs_per_gpu=1)
    code = (
        "import os, pathlib; from ctta.results.sweep import Place; "
        "pathlib.Path(f'run{Place.given().number}').write_text(os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    found.tasks = [
        [replace(run, command=[sys.executable, "-c", code]) for run in t] for t in found.tasks
    ]
    found.write_tasks()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setattr(task, "signal", lambda number, handler: None)
    assert task.main([str(found.folder / "tasks.json"), "1"]) == 0
    assert {p.name: p.read_text() for p in tmp_path.glob("run[0-9]")} == {"run2": "4", "run3": "6"}


def test_one_run_of_a_task_is_killed_alone(monkeypatch, capfd):
    monkeypatch.setattr(task, "signal", lambda number, handler: None)
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    runs = [{"command": [sys.executable, "-c", code], "environment": {}} for code in (kill, "")]
    assert task.run_all(runs) == [-SIGKILL, 0]
    assert "was ended by SIGKILL" in capfd.readouterr().err


def test_a_task_is_queued_again_if_a_run_can_go_on():
    assert task.status_of([0, 0]) == 0
    assert task.status_of([0, 1]) == 1
    assert task.status_of([0, 1, 75]) == 75
    assert task.status_of([-SIGTERM]) == 75
    assert task.status_of([-SIGKILL]) == 1


def test_a_run_is_told_its_place(sweep, monkeypatch):
    assert Place.given() is None
    place = Place(str(sweep.folder), 3, 8)
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    assert Place.given() == place


def test_a_run_of_slurm_notes_its_outcome_where_it_was_told(ctta, sweep, monkeypatch):
    monkeypatch.setenv(
        "CTTA_SWEEP", json.dumps({"folder": str(sweep.folder), "number": 3, "total": 8})
    )
    monkeypatch.setenv("CTTA_RUNS", str(sweep.folder.parents[1]))
    status, *_ = ctta("run", "launcher=slurm", "hydra.mode=RUN", "--dry-run", "dataset.n_images=32")
    assert status == 0
    (outcome,) = sweep.outcomes()
    assert (outcome.number, outcome.total, outcome.status) == (3, 8, "finished")


def test_the_batch_script_is_shown_without_slurm(ctta):
    status, out, _ = ctta("run", "launcher=slurm", "method=tent,norm", "--dry-run")
    assert status == 0
    assert "#SBATCH --array=0-1\n" in out
    assert "scontrol requeue $SLURM_JOB_ID" in out


def test_a_sweeper_that_waits_for_results_is_refused(ctta, monkeypatch):
    monkeypatch.setattr("ctta.composition.place_in_sweep", lambda arguments: (0, None, True))
    status, _, err = ctta("run", "launcher=slurm", "method=norm")
    assert status == 2
    assert "expected hydra/sweeper=basic" in err
