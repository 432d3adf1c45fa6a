"""Sweeps through a real Slurm, which is started here: ``pytest -m slurm``."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from cluster import NODES, SECONDS, Cluster, missing_programs, wait_for

pytestmark = pytest.mark.slurm
SLURM = [
    *("launcher=slurm", "launcher.gpus_per_task=0", "launcher.cpus_per_task=1"),
    *("launcher.memory=2G", "launcher.poll_seconds=1"),
]


@pytest.fixture(scope="module")
def cluster(missing):
    """Two nodes."""
    absent = missing_programs()
    if absent:
        words = (
            "type apt-get install --no-install-recommends slurm-wlm slurmdbd munge mariadb-server"
        )
        missing("slurm", f"{', '.join(absent)} not found; {words}")
    # Not pytest's own folder: the path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with Cluster(folder) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def slurm(cluster, place):
    """The cluster, and a place whose commands go to it; nothing is left in the queue."""
    place.environment |= {k: cluster.environment[k] for k in ("PATH", "SLURM_CONF")}
    yield cluster
    cluster.said("scancel", f"--user={os.getuid()}")
    wait_for(lambda: not cluster.said("squeue", "-h"), "an empty queue")


def test_a_sweep_ends_whatever_becomes_of_its_runs(slurm, place):
    """Four runs, in arrays of three tasks at most: one raises, one is killed."""
    status, out, err = place.run("method=source,raises,killed,norm", *SLURM)
    assert status == 1
    assert "4 of 4 runs done" in err
    assert "ctta: 2 of 4 runs failed\n  batch 0: RuntimeError: broken" in err
    assert "run 2 ended without a word" in err
    assert "was ended by SIGKILL" in err
    assert [r["config"]["names"]["method"] for r in place.records().values()] == ["norm", "source"]
    assert "launcher" not in next(iter(place.records().values()))["config"]
    assert "source" in out
    assert not (place.runs / ".sweeps").exists()


@pytest.mark.parametrize("how", ["pre-empted", "out of time"])
def test_a_run_that_is_stopped_saves_itself_and_is_queued_again(slurm, place, how):
    process = place.start("method=slow", *SLURM)
    wait_for(place.under_way, "a run under way")
    if how == "pre-empted":
        urgent = ["sbatch", "--partition=urgent", "--nodes=2", "--ntasks=2", "--output=/dev/null"]
        assert slurm.said(*urgent, "--wrap=sleep 1")
    else:  # what Slurm does before the time limit
        slurm.said("scancel", "--signal=USR1", f"--user={os.getuid()}")
    (folder,) = place.runs.glob("slow-*")
    wait_for((folder / "checkpoint/state.safetensors").exists, "a saved run")
    place.let_go()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    (record,) = place.records().values()
    (resume,) = record["resumes"]
    assert resume["after_batch"] >= 4
    assert resume["run_again"] == 0


def test_a_run_whose_node_fails_goes_on_elsewhere(slurm, place):
    process = place.start("method=slow", "online.checkpoint_every=2", *SLURM)
    wait_for(place.under_way, "a run under way")
    node = slurm.said("squeue", "-h", "-o", "%N")
    assert node in NODES
    slurm.fail_node(node)
    place.let_go()
    try:
        _, err = process.communicate(timeout=SECONDS)
    finally:
        slurm.start_node(node)
        slurm.said("scontrol", "update", f"nodename={node}", "state=resume")
    assert process.returncode == 0, err
    (record,) = place.records().values()
    (resume,) = record["resumes"]
    assert resume["run_again"] in (0, 1, 2)


def test_a_sweep_larger_than_what_slurm_takes_at_once_completes(slurm, place):
    status, _, err = place.run("method=source", "seed=0,1,2", "launcher.options={qos: few}", *SLURM)
    assert status == 0, err
    assert "Slurm takes 2 tasks now" in err
    assert "1 wait here" in err
    assert len(place.records()) == 3


def test_what_slurm_refuses_for_good_is_said(slurm, place):
    status, _, err = place.run("method=source", *SLURM, "launcher.partition=nowhere")
    assert status == 2
    assert "Slurm refuses the runs: " in err
    assert "invalid partition specified: nowhere" in err
    assert "change launcher.partition" in err


def test_a_sweep_that_is_killed_half_way_is_completed_by_the_same_command(slurm, place):
    words = ["method=source,slow", "seed=0,1", *SLURM]
    process = place.start(*words)
    wait_for(lambda: place.under_way() == 2, "both slow runs under way")
    wait_for(lambda: len(place.records("source")) == 2, "both others finished")
    written = {p: p.stat().st_mtime_ns for p in place.runs.glob("source-*/result.json")}
    slurm.said("scancel", f"--user={os.getuid()}")
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "2 of 4 runs failed" in err
    assert err.count("stopped by SIGTERM and saved after batch") >= 2
    place.let_go()
    status, _, err = place.run(*words)
    assert status == 0, err
    assert len(place.records()) == 4
    assert {p: p.stat().st_mtime_ns for p in written} == written  # not run again
    assert all(len(r["resumes"]) == 1 for r in place.records("slow").values())


def test_jobs_outlive_the_command_and_the_same_one_waits_for_them(slurm, place):
    first = place.start("method=slow", *SLURM)
    wait_for(place.under_way, "a run under way")
    first.kill()
    first.communicate()
    second = place.start("method=slow", *SLURM)
    lines = iter(second.stderr.readline, "")
    assert any("the same command has left the Slurm jobs" in line for line in lines)
    place.let_go()
    second.communicate(timeout=SECONDS)
    assert second.returncode == 0
    (record,) = place.records().values()
    assert record["resumes"] == []  # the first one's job has finished it


def test_runs_of_a_task_share_its_gpu(slurm, place):
    gpus = ["launcher.gpus_per_task=1", "launcher.runs_per_gpu=2", "compute.device=cpu"]
    status, _, err = place.run("method=tellsgpu", "seed=0,1", *SLURM, *gpus)
    assert status == 0, err
    assert "in Slurm's queue: 1 RUNNING" in err
    assert [path.read_text() for path in (place.folder / "gpus").iterdir()] == ["0", "0"]
