"""Ctrl-C in a real process: a status that is not zero, no traceback, nothing half written."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ctta.models import zoo
from ctta.results.result import Result

pytestmark = pytest.mark.slow
QUICK = ["dataset.n_images=200", "progress=false"]


def interrupted(arguments, cache, runs, moment, cwd):
    """Run ctta, press Ctrl-C a second after ``moment()`` is true; (status, standard error)."""
    environment = {**os.environ, "CTTA_CACHE": str(cache), "CTTA_RUNS": str(runs)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ctta", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell may have started the tests with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not moment():
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


def check(status, out):
    # Inside of foreign code the signal may end Python itself, which shells report as 130 too.
    assert status in (130, -signal.SIGINT), out
    assert "Traceback" not in out
    assert "interrupted; what is finished is kept" in out


def all_files(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_while_the_source_model_is_trained(tmp_path):
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    status, out = interrupted(["run", *QUICK], cache, runs, (cache / "models").exists, tmp_path)
    check(status, out)
    assert all_files(cache) == all_files(runs) == []


def test_while_an_artefact_is_prepared(tmp_path, digits_model_cache):
    runs = tmp_path / "runs"
    status, out = interrupted(
        ["run", "method=vida", *QUICK],
        digits_model_cache,
        runs,
        (digits_model_cache / "artefacts").exists,
        tmp_path,
    )
    check(status, out)
    assert all_files(digits_model_cache / "artefacts") == all_files(runs) == []


@pytest.mark.parametrize("n_ahead", [0, 2])
def test_while_it_runs(n_ahead, tmp_path, digits_model_cache):
    runs = tmp_path / "runs"
    status, out = interrupted(
        ["run", "-m", "method=source,cotta", f"compute.prefetch={n_ahead}", *QUICK],
        digits_model_cache,
        runs,
        lambda: any(runs.glob("cotta-*/log.txt")),
        tmp_path,
    )
    check(status, out)
    records = [Result.load(path) for path in sorted(runs.glob("*/result.json"))]
    assert [(r.method.name, r.status, r.reason) for r in records] == [
        ("cotta", "failed", "interrupted"),
        ("source", "finished", None),
    ]
    assert len(list(runs.glob("*/trace.npz"))) == 1
    assert not any((digits_model_cache / "running").iterdir())


@pytest.fixture
def digits_model_cache(tmp_path, digits_cache):
    """A cache with the trained digits model and nothing else."""
    zoo.digits_model(cache=digits_cache)
    shutil.copytree(digits_cache / "models", tmp_path / "own" / "models")
    return tmp_path / "own"
