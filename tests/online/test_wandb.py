"""wandb: what it is told, that it harms no run, and the real package with and without a server."""

import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from wandb_server import Server

from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.online.tracking import COLUMNS, WandbTracking, segment_table
from ctta.results.result import Result
from ctta.streams.stream import Batch

# Six batches of two in two segments of three, the second of two domains; what is predicted wrongly.
SEGMENTS = [0, 0, 0, 1, 1, 1]
DOMAINS = [0, 0, 0, 0, 0, 0, 1, 2, 1, 2, 1, 2]
LABELS = [0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1]
WRONG = [1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1]
BATCHES = [
    Batch(
        x=torch.zeros(2, 3, 2, 2),
        y=torch.tensor(LABELS[2 * n : 2 * n + 2]),
        domain=torch.tensor(DOMAINS[2 * n : 2 * n + 2]),
        ids=torch.arange(2),
        segment=segment,
        fresh_start=False,
    )
    for n, segment in enumerate(SEGMENTS)
]
LOGITS = [torch.eye(2)[b.y ^ torch.tensor(WRONG[2 * n : 2 * n + 2])] for n, b in enumerate(BATCHES)]


def trace_of(n):
    """The rows of the first ``n`` batches."""
    samples = {name: np.zeros(2 * n, dtype) for name, dtype in SAMPLE_COLUMNS.items()}
    samples["label"][:] = LABELS[: 2 * n]
    samples["prediction"][:] = np.bitwise_xor(LABELS, WRONG)[: 2 * n]
    samples["segment"][:] = np.repeat(SEGMENTS, 2)[: 2 * n]
    samples["domain"][:] = DOMAINS[: 2 * n]
    samples["label_logprob"][:] = np.linspace(-1, -2, 2 * n)
    samples["entropy"][:] = np.linspace(0, 1, 2 * n)
    batches = {name: np.full(n, 2, dtype) for name, dtype in BATCH_COLUMNS.items()}
    return Trace(samples, batches, ("fog", "frost", "snow"), 2)


class Run:
    """Stands in for a wandb run; ``breaks`` names the call that fails."""

    def __init__(self, breaks="", starting_step=0):
        self.breaks, self.starting_step = breaks, starting_step
        self.rows, self.summary, self.artifacts, self.metrics, self.ended = {}, {}, [], {}, []

    def define_metric(self, name, **options):
        self.metrics[name] = options

    def log(self, values, step=None, commit=None):
        self.fail_in("log")
        assert step not in self.rows
        self.rows[step] = values

    def log_artifact(self, artifact):
        self.artifacts.append(artifact)

    def finish(self, exit_code):
        self.ended.append(exit_code)
        self.fail_in("finish")

    def fail_in(self, name):
        if self.breaks == name:
            raise OSError(f"no network\nin {name}")


class Artifact:
    def __init__(self, name, type):
        self.name, self.type, self.files = name, type, []

    def add_file(self, path):
        self.files.append(path)


def install(monkeypatch, init):
    fake = types.ModuleType("wandb")
    fake.Settings, fake.init, fake.Artifact, fake.teardown = dict, init, Artifact, lambda: None
    fake.Table = lambda columns, data: {"columns": columns, "data": data}
    monkeypatch.setitem(sys.modules, "wandb", fake)


def tracking(folder, mode="offline", name="tent-digits_c-01"):
    options = {"project": "p", "entity": None, "group": "seeds of tent", "tags": ["tent", "mine"]}
    return WandbTracking(name, {"seed": 3}, folder=folder, mode=mode, **options)


def follow(watch, first=0, last=6):
    """What a run does, from batch ``first`` on, and up to ``last`` where it is killed."""
    watch.on_start(None, trace_of(first))
    for n in range(first, last):
        watch.on_batch(BATCHES[n], LOGITS[n])
    if last == 6:
        watch.on_end(trace_of(6))


def whole_run(watch, files=(), first=0):
    follow(watch, first)
    watch.keep({"error_pct": 41.0, "error_by_domain": {"fog": 50.0}}, files)
    watch.close()


ERRORS = [50.0, 0.0, 100.0, 50.0, 0.0, 50.0]  # of the batches
SO_FAR = [50.0, 25.0, 50.0, 50.0, 40.0, 100 * 5 / 12]


def row(n):
    return {
        "batch/number": n,
        "batch/segment": SEGMENTS[n],
        "batch/error_pct": ERRORS[n],
        "batch/error_so_far_pct": pytest.approx(SO_FAR[n]),
    }


def test_it_hears_of_batches_segments_the_result_and_its_files(monkeypatch, tmp_path):
    run, given = Run(), {}
    install(monkeypatch, lambda **options: given.update(options) or run)
    file = tmp_path / "result.json"
    whole_run(tracking(tmp_path), [file])
    assert {k: given[k] for k in ("id", "name", "group", "tags", "mode", "resume")} == {
        "id": "tent-digits_c-01",
        "name": "tent-digits_c-01",
        "group": "seeds of tent",
        "tags": ["tent", "mine"],
        "mode": "offline",
        "resume": None,
    }
    assert (given["config"], given["project"]) == ({"seed": 3}, "p")
    first = {"segment/number": 0, "segment/error_pct": 50.0}
    table = run.rows.pop(None)["segments"]
    assert run.rows == {
        **{n: row(n) for n in range(6)},
        3: row(3) | first,
        6: {"segment/number": 1, "segment/error_pct": pytest.approx(100 / 3)},
    }
    assert table == {"columns": list(COLUMNS), "data": segment_table(trace_of(6))}
    assert run.summary == {"error_pct": 41.0, "error_by_domain": {"fog": 50.0}}
    (artifact,) = run.artifacts
    assert (artifact.name, artifact.type, artifact.files) == (
        "tent-digits_c-01",
        "result",
        [str(file)],
    )
    assert run.metrics["batch/*"]["step_metric"] == "batch/number"
    assert run.metrics["segment/*"]["step_metric"] == "segment/number"
    assert run.ended == [0]


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_the_table_has_a_row_for_every_domain_of_every_segment(monkeypatch, piece):
    monkeypatch.setattr("ctta.online.trace.PIECE", piece)
    entropy, logprob = np.linspace(0, 1, 12), np.linspace(-1, -2, 12)
    own = {"fog": slice(0, 6), "frost": slice(6, 12, 2), "snow": slice(7, 12, 2)}
    expected = [
        [0, "fog", 6, 50.0],
        [1, "frost", 3, 0.0],
        [1, "snow", 3, pytest.approx(200 / 3)],
    ]
    for found, wanted in zip(segment_table(trace_of(6)), expected, strict=True):
        assert found[:4] == wanted
        means = -logprob[own[found[1]]].mean(), entropy[own[found[1]]].mean()
        assert found[4:] == pytest.approx(list(means), rel=1e-6)


@pytest.mark.parametrize("first", range(1, 6))
@pytest.mark.parametrize(("mode", "resume", "has"), [("offline", None, 0), ("online", "allow", 4)])
def test_a_run_that_goes_on_logs_what_is_not_there(monkeypatch, tmp_path, first, mode, resume, has):
    undisturbed, run, given = Run(), Run(starting_step=has), {}
    install(monkeypatch, lambda **_: undisturbed)
    whole_run(tracking(tmp_path))
    install(monkeypatch, lambda **options: given.update(options) or run)
    whole_run(tracking(tmp_path, mode), first=first)
    assert given["resume"] == resume
    rows = undisturbed.rows.items()
    assert run.rows == {step: values for step, values in rows if step is None or step >= has}


def test_a_run_without_a_result_has_failed_there(monkeypatch, tmp_path):
    run = Run()
    install(monkeypatch, lambda **_: run)
    watch = tracking(tmp_path)
    follow(watch, last=3)
    watch.close()
    watch.close()
    assert run.ended == [1]


@pytest.mark.parametrize("breaks", ["init", "log", "finish"])
def test_what_fails_is_said_once_on_one_line(monkeypatch, caplog, tmp_path, breaks):
    run = Run(breaks)

    def init(**_):
        run.fail_in("init")
        return run

    install(monkeypatch, init)
    whole_run(tracking(tmp_path))
    assert [r.getMessage() for r in caplog.records] == [
        f"wandb is left out from here on: no network in {breaks}"
    ]


def test_a_run_that_does_not_end_there_is_not_waited_for(monkeypatch, caplog, tmp_path):
    run, answered = Run(), threading.Event()
    monkeypatch.setattr(run, "finish", lambda exit_code: answered.wait())
    monkeypatch.setattr("ctta.online.tracking.SECONDS_FOR_WANDB", 0.05)
    install(monkeypatch, lambda **_: run)
    whole_run(tracking(tmp_path))
    answered.set()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"wandb did not end in 0.05 s; 'wandb sync' in {tmp_path} sends what is not sent then"
    )


def test_a_missing_package_is_said_once(monkeypatch, caplog, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    whole_run(tracking(tmp_path))
    (record,) = caplog.records
    assert record.getMessage().startswith("wandb is left out from here on: import of wandb")


def test_without_an_answer_it_goes_on_offline(monkeypatch, caplog, tmp_path):
    run, modes = Run(), []

    def init(mode, **_):
        modes.append(mode)
        if mode == "online":
            raise OSError("no\nanswer")
        return run

    install(monkeypatch, init)
    whole_run(tracking(tmp_path, mode="online"))
    assert modes == ["online", "offline"]
    assert set(run.rows) == {*range(7), None}
    (record,) = caplog.records
    assert record.getMessage().startswith("wandb goes on offline: no answer; 'wandb sync' in")


def test_it_does_not_find_a_terminal_to_ask_at(monkeypatch, tmp_path):
    terminal, seen = io.StringIO(), []
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    install(monkeypatch, lambda **_: seen.append(sys.stdin.isatty()) or Run())
    tracking(tmp_path, mode="online").on_start(None, trace_of(0))
    assert seen == [False]
    assert sys.stdin is terminal


def test_ctta_does_not_import_it():
    code = "import sys, ctta.cli, ctta.results.run; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


QUICK = ["dataset.corruptions=[contrast,fog]", "dataset.n_images=100", "tracking=wandb"]


def test_a_run_tells_its_configuration_its_result_and_its_files(ctta, monkeypatch, tmp_path):
    runs, given = [], {}

    def init(**options):
        given.update(options)
        runs.append(Run())
        return runs[-1]

    install(monkeypatch, init)
    status, _, err = ctta("run", "method=norm", *QUICK, "tracking.tags=[mine]", "stream.seed=2")
    assert status == 0, err
    (path,) = (tmp_path / "runs").glob("*/result.json")
    result = Result.load(path)
    assert given["id"] == path.parent.name
    assert given["group"] == "norm-digits_c-continual-digits_cnn"
    assert given["tags"] == ["norm", "digits_c", "continual", "digits_cnn", "mine"]
    assert given["config"]["stream"]["seed"] == 2
    assert given["config"]["record"]["stream_sha256"] == result.stream.stream_sha256
    (run,) = runs
    assert run.summary["error_pct"] == result.metrics["error_pct"]
    assert run.summary["error_by_domain"] == result.error_by_domain
    assert [Path(file).name for file in run.artifacts[0].files] == ["result.json", "config.yaml"]
    assert [values[1:4] for values in run.rows[None]["segments"]["data"]] == [
        [name, 100, pytest.approx(error)] for name, error in result.error_by_domain.items()
    ]
    assert run.ended == [0]
    status, _, _ = ctta("run", "method=norm", *QUICK, "tracking.tags=[mine]", "stream.seed=2")
    assert (status, len(runs)) == (0, 1)  # finished already: nothing to tell


def test_a_run_that_fails_has_failed_there(ctta, monkeypatch):
    run = Run()
    install(monkeypatch, lambda **_: run)
    status, _, _ = ctta("run", "method=tent", *QUICK, "optimizer.lr=1e38")
    assert (status, run.ended) == (1, [1])


# --- the real package -----------------------------------------------------------------------------


@pytest.fixture
def real(monkeypatch, tmp_path):
    """wandb in a home of its own, without an account; at the end its service is gone."""
    for name in os.environ:
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    wandb = importlib.import_module("wandb")
    yield wandb
    wandb.teardown()


@pytest.fixture
def server(real, monkeypatch):
    made = Server()
    monkeypatch.setenv("WANDB_BASE_URL", made.url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield made
    made.close()


def records(file):
    """What wandb wrote: its format is LevelDB's log of protocol buffers, after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole, found = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if 2**15 - place % 2**15 < 7:  # no record begins in the last bytes of a block
            place += 2**15 - place % 2**15
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last part
            found.append(Record.FromString(whole))
            whole = b""
    return found


def values_of(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def rows_of(found):
    return [values_of(r.history.item) for r in found if r.WhichOneof("record_type") == "history"]


def files_of(folder, n=1):
    """The files of the ``n`` wandb runs that are offline."""
    found = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(found) == n
    return found


@pytest.mark.slow
def test_the_real_package_keeps_a_run_offline(real, caplog, tmp_path):
    (tmp_path / "result.json").write_text("{}")
    whole_run(tracking(tmp_path), [tmp_path / "result.json"])
    assert not [r for r in caplog.records if r.name == "ctta"]
    # A finished run's file is closed by wandb's service process afterwards; this waits for its end,
    # as Python's own exit does.
    real.teardown()
    found = records(*files_of(tmp_path))
    (run,) = (r.run for r in found if r.WhichOneof("record_type") == "run")
    assert (run.run_id, run.run_group, run.project) == ("tent-digits_c-01", "seeds of tent", "p")
    assert list(run.tags) == ["tent", "mine"]
    assert values_of(run.config.update)["seed"] == 3
    rows = rows_of(found)
    assert [r.get("batch/error_pct") for r in rows] == [*ERRORS, None, None]
    assert [r["_step"] for r in rows] == list(range(8))
    assert rows[7]["segments/_type"] == "table-file"
    (summary,) = (
        values_of(r.summary.update)
        for r in found
        if r.WhichOneof("record_type") == "summary"
        and any(item.key == "error_pct" for item in r.summary.update)
    )
    assert summary["error_pct"] == 41.0
    artifacts = [r.artifact for r in found if r.WhichOneof("record_type") == "artifact"]
    (result,) = (a for a in artifacts if a.type == "result")
    assert result.name == "tent-digits_c-01"
    assert [entry.path for entry in result.manifest.contents] == ["result.json"]
    (ended,) = (r.exit for r in found if r.WhichOneof("record_type") == "exit")
    assert ended.exit_code == 0


@pytest.mark.slow
def test_without_an_account_the_real_package_goes_on_offline(real, caplog, tmp_path):
    whole_run(tracking(tmp_path, mode="online"))
    (message,) = [r.getMessage() for r in caplog.records if r.name == "ctta"]
    assert message.startswith("wandb goes on offline: ")
    assert "wandb login" in message
    real.teardown()
    assert len(rows_of(records(*files_of(tmp_path)))) == 8


def cut_short(folder, mode, how):
    """A process that ends after four batches: killed, or stopped by a signal that it noted."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_wandb as t\n"
        "watch = t.tracking(pathlib.Path(sys.argv[2]), sys.argv[3])\n"
        "t.follow(watch, last=4)\n"
        "if sys.argv[4] == 'stopped': watch.close(); sys.exit()\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder), mode, how]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == {"killed": -signal.SIGKILL, "stopped": 0}[how], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_run_that_is_cut_short_and_goes_on_is_one_run(server, real, tmp_path, mode, how):
    cut_short(tmp_path, mode, how)
    files_of(tmp_path, n=int(mode == "offline"))
    time.sleep(1.1)  # wandb names its folders by the second
    whole_run(tracking(tmp_path, mode), first=2)
    real.teardown()
    if mode == "offline":
        assert not server.runs
        (file,) = files_of(tmp_path)
        command = [sys.executable, "-m", "wandb", "sync", str(file.parent)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    ((name, run),) = server.runs.items()
    assert name == "tent-digits_c-01"
    assert sorted(run["rows"]) == list(range(len(run["rows"])))
    rows = [run["rows"][place] for place in range(7)]
    assert [r["_step"] for r in rows] == list(range(7))
    assert [r.get("batch/error_pct") for r in rows] == [*ERRORS, None]
    assert [r.get("segment/error_pct") for r in rows] == [None] * 3 + [50.0] + [None] * 2 + [
        pytest.approx(100 / 3)
    ]
    assert run["summary"]["error_pct"] == 41.0
    assert (run["groupName"], run["tags"]) == ("seeds of tent", ["tent", "mine"])


SILENT = """
import os, sys, time, pathlib
sys.path.insert(0, sys.argv[1])
import test_wandb as t
from ctta.online import tracking
tracking.SECONDS_FOR_WANDB = 2.0
server = t.Server()
os.environ.update(WANDB_BASE_URL=server.url, WANDB_API_KEY="0" * 40)
if sys.argv[3] == "from the start":
    server.silent.set()
watch = t.tracking(pathlib.Path(sys.argv[2]), "online")
watch.on_start(None, t.trace_of(0))
server.silent.set()
began = time.monotonic()
for n in range(6):
    watch.on_batch(t.BATCHES[n], t.LOGITS[n])
watch.on_end(t.trace_of(6))
print("batches", time.monotonic() - began)
watch.keep({"error_pct": 41.0}, [])
watch.close()
print("ended", time.monotonic() - began)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["from the start", "after the beginning"])
def test_a_server_that_falls_silent_does_not_hold_a_run_up(real, tmp_path, when):
    command = [sys.executable, "-c", SILENT, str(Path(__file__).parent), str(tmp_path), when]
    began = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    seconds = dict(line.split() for line in done.stdout.splitlines())
    assert float(seconds["batches"]) < 2
    assert float(seconds["ended"]) < 10  # 2 to finish; the rest is what a busy machine may take
    assert time.monotonic() - began < 40  # the end of the process included
    kept = [records(file) for file in tmp_path.glob("wandb/*run-*/run-*.wandb")]
    assert max(len(rows_of(found)) for found in kept) >= 7  # for `wandb sync`
    if when == "from the start":
        assert "wandb goes on offline" in done.stderr
