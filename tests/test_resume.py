"""A run that is stopped, fails or is found damaged, as a user meets it."""

import fcntl
import json
import os
import pickle
import shutil
import signal

import numpy as np
import pytest

from ctta.methods.tent import Tent
from ctta.online.stopping import RunStoppedError, StopSignals
from ctta.results.environment import DECIDES_BITS
from ctta.results.unfinished import Unfinished

QUICK = ["method=tent", "dataset.n_images=32", "stream.batch_size=16", "progress=false"]
QUICK += ["dataset.corruptions=[fog,contrast]"]  # four batches
ADAPT = Tent.adapt


@pytest.fixture
def at_batch(monkeypatch):
    """at_batch(number, action): ``action`` happens inside of that batch, once."""

    def arrange(number, action):
        calls = []

        def adapt(self, x):
            calls.append(x)
            if len(calls) == number + 1:
                action()
            return ADAPT(self, x)

        monkeypatch.setattr(Tent, "adapt", adapt)

    return arrange


def send(number):
    return lambda: os.kill(os.getpid(), number)


def fail():
    raise RuntimeError("out of memory")


def record(tmp_path):
    (path,) = tmp_path.glob("runs/*/result.json")
    return json.loads(path.read_text())


def checkpoint(tmp_path):
    (path,) = tmp_path.glob("runs/*/checkpoint")
    return path


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Run stores of the two fixtures below, once they are made."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def undisturbed(ctta, made_once):
    """Hash of the trace of a run that nothing happened to."""
    runs = made_once / "undisturbed"
    if not runs.exists():
        assert ctta("run", *QUICK, f"paths.runs={runs}")[0] == 0
    (path,) = runs.glob("*/result.json")
    return json.loads(path.read_text())["trace_sha256"]


@pytest.mark.parametrize(
    ("number", "every", "status"),
    [
        (signal.SIGTERM, "null", 75),
        (signal.SIGUSR1, "60s", 75),
        (signal.SIGINT, "100", 130),
    ],
)
def test_a_signal_saves_and_the_same_command_goes_on(
    ctta, tmp_path, at_batch, undisturbed, number, every, status
):
    command = ["run", *QUICK, f"online.checkpoint_every={every}"]
    at_batch(1, send(number))
    found, _, err = ctta(*command)
    assert found == status
    assert f"stopped by {number.name} and saved after batch 2 of 4. Type the same command" in err
    assert not list(tmp_path.glob("runs/*/result.json"))
    found, _, err = ctta(*command)
    assert found == 0
    assert "goes on after batch 2 of 4; batches run again: 0" in err
    kept = record(tmp_path)
    assert kept["trace_sha256"] == undisturbed
    assert [(r["after_batch"], r["run_again"]) for r in kept["resumes"]] == [(2, 0)]
    assert kept["costs"]["exclusive"] is None
    assert not list(tmp_path.glob("runs/*/checkpoint"))
    (log,) = tmp_path.glob("runs/*/log.txt")
    assert "saving after this batch" in log.read_text()


def test_a_signal_in_the_last_batch_leaves_a_finished_run(ctta, tmp_path, at_batch):
    at_batch(3, send(signal.SIGTERM))
    status, _, err = ctta("run", *QUICK)
    assert (status, "after a finished run" in err) == (75, True)
    assert record(tmp_path)["status"] == "finished"


def test_a_signal_ends_the_whole_sweep(ctta, tmp_path, at_batch):
    at_batch(0, send(signal.SIGTERM))
    assert ctta("run", "-m", "seed=0,1", *QUICK)[0] == 75
    assert len(list(tmp_path.glob("runs/*/checkpoint/state.safetensors"))) == 1
    assert not list(tmp_path.glob("runs/*/result.json"))


def test_the_first_ctrl_c_waits_and_the_second_does_not():
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as stop:
        with pytest.raises(KeyboardInterrupt), stop.deferred(ctrl_c=True):
            signal.raise_signal(signal.SIGINT)
            assert stop.noted == signal.SIGINT
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(RunStoppedError):
            signal.raise_signal(signal.SIGTERM)
        stop.noted = None
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_passes_from_a_launchers_process_to_its_parent():
    error = pickle.loads(pickle.dumps(RunStoppedError(signal.SIGTERM, "stopped by SIGTERM")))
    assert (error.signal, str(error)) == (signal.SIGTERM, "stopped by SIGTERM")


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with StopSignals():
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_failed_run_goes_on_from_its_checkpoint(ctta, tmp_path, at_batch, undisturbed):
    command = ["run", *QUICK, "online.checkpoint_every=2"]
    at_batch(3, fail)
    assert ctta(*command)[0] == 1
    assert record(tmp_path)["status"] == "failed"
    status, _, err = ctta(*command)
    assert status == 0
    assert "goes on after batch 2 of 4; batches run again: 1" in err
    assert record(tmp_path)["trace_sha256"] == undisturbed


def test_a_failed_run_without_a_checkpoint_leaves_none(ctta, tmp_path, at_batch):
    at_batch(3, fail)
    assert ctta("run", *QUICK)[0] == 1
    assert not list(tmp_path.glob("runs/*/checkpoint"))


@pytest.fixture
def stopped(ctta, tmp_path, at_batch, made_once):
    """A run that was stopped after two batches; the folder of its checkpoint."""
    runs = made_once / "stopped"
    if not runs.exists():
        at_batch(1, send(signal.SIGTERM))
        assert ctta("run", *QUICK)[0] == 75
        shutil.move(tmp_path / "runs", runs)
    shutil.copytree(runs, tmp_path / "runs")
    return checkpoint(tmp_path)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def edit(path, key, value):
    facts = json.loads(path.read_text())
    facts["environment"][key] = value
    path.write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: flip(c / "state.safetensors", -1), "its checksum does not fit"),
        (lambda c: os.truncate(c / "state.safetensors", 500), "is not a whole checkpoint"),
        (lambda c: flip(c / "rows" / "samples", 5), "samples is damaged"),
        (lambda c: os.truncate(c / "rows" / "batches", 3), "batches lacks rows"),
        (lambda c: (c / "run.json").write_text("{"), "run.json is damaged"),
        (lambda c: edit(c / "run.json", "torch", "1.0"), "torch 1.0 -> "),
        (lambda c: edit(c / "run.json", "threads", 9), "threads 9 -> 1"),
    ],
    ids=["bit", "cut", "row", "rows", "facts", "torch", "threads"],
)
def test_what_does_not_fit_is_said_and_the_run_starts_again(
    ctta, tmp_path, stopped, undisturbed, damage, words
):
    damage(stopped)
    status, _, err = ctta("run", *QUICK)
    assert status == 0
    said = " ".join(err.split())  # without the line breaks of a narrow terminal
    assert words in said
    assert "the run starts again" in said
    kept = record(tmp_path)
    assert (kept["trace_sha256"], kept["resumes"]) == (undisturbed, [])


def test_a_checkpoint_of_another_run_is_left(caplog, tmp_path):
    environment = dict.fromkeys((*DECIDES_BITS, "commit"), "x")
    unfinished = Unfinished(tmp_path / "run", "one", environment)
    unfinished.begin()
    assert unfinished.usable()
    assert not caplog.messages
    assert not Unfinished(tmp_path / "run", "another", environment).usable()
    assert "is of another run; this one starts at its beginning" in caplog.text


def test_another_commit_is_said_in_one_line(ctta, tmp_path, stopped, undisturbed):
    edit(stopped / "run.json", "commit", "0123abc")
    _, _, err = ctta("run", *QUICK)
    assert "the checkpoint is of commit 0123abc, this is" in err
    path = next(tmp_path.glob("runs/*/result.json"))
    kept = record(tmp_path)
    assert kept["trace_sha256"] == undisturbed
    kept["environment"]["commit"] = "4567def"
    path.write_text(json.dumps(kept))
    _, _, err = ctta("run", *QUICK)
    assert "is finished already, at commit 4567def; this is" in err
    assert "--force runs it again" in err


def test_force_starts_at_the_beginning(ctta, tmp_path, stopped, undisturbed):
    _, _, err = ctta("run", "--force", *QUICK)
    assert "goes on" not in err
    assert record(tmp_path)["trace_sha256"] == undisturbed


def test_logits_that_the_checkpoint_lacks_start_the_run_again(ctta, tmp_path, stopped):
    status, _, err = ctta("run", "trace.logits=true", *QUICK)
    assert (status, "expected batches, logits, samples" in err) == (0, True)
    with np.load(next(tmp_path.glob("runs/*/trace.npz"))) as trace:
        assert len(trace["logits"]) == 64


def test_a_run_that_another_process_runs_is_left_alone(ctta, tmp_path, stopped):
    content = sorted(p.name for p in stopped.rglob("*"))
    with (stopped.parent / "log.txt").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status, _, err = ctta("run", *QUICK)
    assert (status, "is being run by another process" in err) == (1, True)
    assert sorted(p.name for p in stopped.rglob("*")) == content
