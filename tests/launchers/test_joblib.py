"""Sweeps in processes of this machine."""

import os
import signal

import pytest
from cluster import wait_for

pytestmark = pytest.mark.slow


def test_a_sweep_that_is_killed_half_way_is_completed_by_the_same_command(place):
    words = ["-m", "launcher=joblib", "method=source,slow", "seed=0,1", "online.checkpoint_every=2"]
    process = place.start(*words)
    wait_for(lambda: place.under_way() == 2, "both slow runs under way")
    written = {p: p.stat().st_mtime_ns for p in place.runs.glob("source-*/result.json")}
    assert len(written) == 2
    os.killpg(process.pid, signal.SIGKILL)  # the command and its processes
    process.communicate()
    assert len(place.records()) == 2
    place.let_go()
    status, _, err = place.run(*words)
    assert status == 0, err
    assert "4 of 4 runs done, 0 failed" in err
    assert len(place.records()) == 4
    assert {p: p.stat().st_mtime_ns for p in written} == written  # not run again
    for record in place.records("slow").values():
        (resume,) = record["resumes"]
        assert resume["run_again"] in (0, 1, 2)


def test_each_process_sees_one_gpu(place):
    place.environment["CUDA_VISIBLE_DEVICES"] = "3,5"
    gpus = ["launcher.runs_per_gpu=1", "compute.device=cpu"]
    status, _, err = place.run("-m", "launcher=joblib", "method=tellsgpu", "seed=0,1,2,3", *gpus)
    assert status == 0, err
    told = [path.read_text() for path in (place.folder / "gpus").iterdir()]
    assert sorted(told) in (["3", "5"], ["3"])  # one process may be done before the other begins
