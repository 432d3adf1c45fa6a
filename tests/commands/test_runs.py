"""`ctta runs` as a user meets it."""

import fcntl
import json
import os
import shutil
import signal
import time

import pytest

from ctta.methods.norm import Norm
from ctta.online.trace import Trace

QUICK = ["dataset.n_images=32", "stream.batch_size=16", "dataset.corruptions=[fog,contrast]"]
QUICK += ["progress=false"]
ADAPT = Norm.adapt


@pytest.fixture
def norm_calls(monkeypatch):
    """norm_calls(action): what norm does in its third batch."""

    def arrange(action):
        calls = []

        def adapt(self, x):
            calls.append(x)
            if len(calls) == 3:
                action()
            return ADAPT(self, x)

        monkeypatch.setattr(Norm, "adapt", adapt)

    return arrange


def fail():
    raise RuntimeError("out of\nmemory")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """The store below, once it is made."""
    return tmp_path_factory.mktemp("made") / "runs"


@pytest.fixture
def store(ctta, tmp_path, norm_calls, made_once):
    """Source and tent are finished, norm has failed."""
    if not made_once.exists():
        norm_calls(fail)
        ctta("run", "-m", "method=source,norm,tent", *QUICK)
        shutil.move(tmp_path / "runs", made_once)
    shutil.copytree(made_once, tmp_path / "runs")
    return tmp_path / "runs"


def listed(ctta, *filters):
    status, out, err = ctta("runs", "list", "--json", *filters)
    assert status == 0, err
    return {run["method"]: run["status"] for run in json.loads(out)}


def test_runs_are_listed_and_filtered(ctta, store):
    assert listed(ctta) == {"source": "finished", "norm": "failed", "tent": "finished"}
    assert listed(ctta, "status=failed") == {"norm": "failed"}
    assert set(listed(ctta, "method=tent,source", "stream.seed=0")) == {"source", "tent"}
    assert set(listed(ctta, "optimizer.lr=0.01")) == {"tent"}
    assert set(listed(ctta, "optimizer.lr=null", "trace.logits=false")) == {"source", "norm"}
    assert listed(ctta, "seed=1") == {}
    _, out, _ = ctta("runs", "list")
    (line,) = [line for line in out.splitlines() if line.startswith("norm")]
    assert line.endswith("batch 2: RuntimeError: out of memory")
    assert ctta("runs", "list", "seed=1")[1] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "methd=tent"], ["methd", "no run has this key", "optimizer.lr"]),
        (["list", "tent"], ["key=value", "tent"]),
        (["list", "status=bad"], ["status", "finished", "bad"]),
        (["show", "absent"], ["absent", "ctta runs list"]),
        (["show", ""], ["beginning of 3 runs"]),
    ],
)
def test_what_is_not_there_is_one_clear_line(ctta, store, arguments, words):
    status, _, err = ctta("runs", *arguments)
    assert (status, err.count("\n")) == (2, 1)
    for word in words:
        assert word in err


def test_a_run_is_shown_with_what_it_records(ctta, store):
    status, out, _ = ctta("runs", "show", "tent", "--json")
    assert status == 0
    shown = json.loads(out)
    assert shown["status"] == "finished"
    assert shown["config"]["optimizer"]["lr"] == 0.01
    status, out, _ = ctta("runs", "show", next(str(p) for p in store.glob("norm-*/result.json")))
    assert status == 0
    assert "reason: 'batch 2: RuntimeError: out of memory'" in out
    assert "config.yaml" in out


def test_a_stopped_run_is_shown_with_how_far_it_came(ctta, norm_calls, tmp_path):
    norm_calls(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert ctta("run", "method=norm", *QUICK)[0] == 75
    assert listed(ctta) == {"norm": "stopped"}
    _, out, _ = ctta("runs", "show", "norm", "--json")
    shown = json.loads(out)
    assert (shown["status"], shown["batches_reached"]) == ("stopped", 3)
    with next(tmp_path.glob("runs/*/log.txt")).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert listed(ctta) == {"norm": "running"}
        assert "left alone, it is running" in ctta("runs", "gc", "method=norm", "--delete")[1]
    status, out, _ = ctta("runs", "retry")
    assert (status, "1 of 1 runs finished" in out) == (0, True)
    _, out, _ = ctta("runs", "show", "norm", "--json")
    assert [r["after_batch"] for r in json.loads(out)["resumes"]] == [3]


def test_failed_runs_are_run_again_and_the_others_left(ctta, store, norm_calls):
    before = {path: path.stat().st_mtime_ns for path in store.glob("*/result.json")}
    (failed,) = (path for path in before if path.parent.name.startswith("norm"))
    assert "norm" in ctta("runs", "retry", "--dry-run")[1]
    norm_calls(fail)
    status, out, _ = ctta("runs", "retry")
    assert status == 1
    assert "0 of 1 runs finished" in out
    assert "batch 2: RuntimeError: out of memory" in out
    status, out, _ = ctta("runs", "retry", "method=norm")
    assert (status, "1 of 1 runs finished" in out) == (0, True)
    after = {path: path.stat().st_mtime_ns for path in store.glob("*/result.json")}
    assert [path for path in before if after[path] != before[path]] == [failed]
    assert set(listed(ctta).values()) == {"finished"}
    assert "0 of 0 runs finished" in ctta("runs", "retry")[1]


def test_leftovers_are_said_and_removed_when_told_to(ctta, store):
    tent, norm = (next(store.glob(f"{name}-*")) for name in ("tent", "norm"))
    (tent / "checkpoint").mkdir()
    (tent / "checkpoint" / "rows").write_text("x")
    (tent / ".trace.npz.123").write_text("half")
    (norm / "checkpoint").mkdir()
    (norm / "checkpoint" / ".state.safetensors.123").write_text("half")
    (norm / "checkpoint" / "state.safetensors").write_text("whole")
    (store / "cotta-digits_c-0").mkdir()
    (store / "cotta-digits_c-0" / "log.txt").write_text("")
    status, out, _ = ctta("runs", "gc")
    assert (status, "4 found, 0.0 MB; --delete removes them" in out) == (0, True)
    assert (tent / "checkpoint").is_dir()
    assert "4 found" in ctta("runs", "gc", "--delete")[1]
    assert [p.name for p in (norm / "checkpoint").iterdir()] == ["state.safetensors"]
    assert sorted(p.name for p in tent.iterdir()) == [
        "config.yaml",
        "log.txt",
        "result.json",
        "trace.npz",
    ]
    assert not (store / "cotta-digits_c-0").exists()
    assert ctta("runs", "gc")[1] == "0 found, 0.0 MB\n"
    ctta("runs", "gc", "status=failed", "--delete")
    assert not norm.exists()
    assert listed(ctta) == {"source": "finished", "tent": "finished"}


def test_logits_that_a_finished_run_did_not_keep_are_said(ctta, store):
    asked = ["run", "method=tent", "trace.logits=true", *QUICK]
    said = "without the logits that trace.logits=true asks for; --force runs it again"
    for arguments, missing in ((asked, True), ([*asked, "--force"], False), (asked, False)):
        status, _, err = ctta(*arguments)
        assert (status, said in " ".join(err.split())) == (0, missing)
    assert Trace.load(next(store.glob("tent-*/trace.npz"))).logits.shape == (64, 10)


def test_outcomes_of_sweeps_that_were_killed_are_leftovers(ctta, store):
    old, new = store / ".sweeps" / "old", store / ".sweeps" / "new"
    two_days_ago = time.time() - 2 * 24 * 3600
    for sweep in (old, new):
        sweep.mkdir(parents=True)
        (sweep / "0.json").write_text("{}")
    os.utime(old / "0.json", (two_days_ago, two_days_ago))
    assert ctta("runs", "gc")[1] == "0 found, 0.0 MB\n"  # the folder itself is new
    os.utime(old, (two_days_ago, two_days_ago))
    with next(store.glob("tent-*/log.txt")).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # a run, perhaps of that sweep
        assert ctta("runs", "gc")[1] == "0 found, 0.0 MB\n"
    assert ctta("runs", "gc")[1].splitlines() == [
        "would go: .sweeps/old, 0.0 MB",
        "1 found, 0.0 MB; --delete removes them",
    ]
    assert "removed: .sweeps/old" in ctta("runs", "gc", "--delete")[1]
    assert [path.name for path in (store / ".sweeps").iterdir()] == ["new"]
    for path in (new / "0.json", new):
        os.utime(path, (two_days_ago, two_days_ago))
    ctta("runs", "gc", "--delete")
    assert not (store / ".sweeps").exists()


def difference(ctta, store, a, b):
    status, out, _ = ctta("runs", "diff", a, b, "--json")
    return status, json.loads(out)


def test_two_runs_that_differ_are_compared_by_key_and_sample(ctta, store):
    ctta("run", "method=tent", "optimizer.lr=0.1", "online.checkpoint_every=2", *QUICK)
    runs = {json.loads(p.read_text())["config"]["optimizer"]["lr"]: p.parent.name
            for p in store.glob("tent-*/result.json")}  # fmt: skip
    status, found = difference(ctta, store, runs[0.01], runs[0.1])
    assert (status, found["same_bits"]) == (1, False)
    assert found["differs"].pop("config") == ["method.optimizer.lr: 0.01 -> 0.1"]
    rest = found["differs"].pop("other config")
    assert [line for line in rest if not line.startswith("paths.")] == [
        "online.checkpoint_every: None -> 2",
        "optimizer.lr: 0.01 -> 0.1",
    ]
    assert not any(found["differs"].values())
    traces = found["traces"]
    assert (traces["n_pairs"], traces["same_order"]) == (64, True)
    # A step shows from the second batch on; the first answer there may still be the same.
    assert traces["first"]["batch"] >= 1
    assert [s["n"] for s in traces["segments"]] == [32, 32]
    status, out, _ = ctta("runs", "diff", runs[0.01], runs[0.1])
    assert "config differs: method.optimizer.lr: 0.01 -> 0.1" in out
    assert "the same: stream, data, weights, artefacts, code, environment" in out
    assert "0 fog-5" in out


def test_a_run_and_itself_are_the_same(ctta, store):
    status, out, _ = ctta("runs", "diff", "tent", "tent")
    assert (status, "the same bits in all 64" in out) == (0, True)


def test_a_failed_run_has_no_samples_to_compare(ctta, store):
    status, out, _ = ctta("runs", "diff", "tent", "norm")
    assert (status, "one of the two has no trace" in out) == (1, True)
