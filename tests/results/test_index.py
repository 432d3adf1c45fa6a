"""The index follows the folders, whoever writes them and whatever is left of it."""

import fcntl
import json
import multiprocessing
import random
import shutil
import signal
import sqlite3
from contextlib import suppress

import numpy as np
import pytest
import yaml

from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.results import index
from ctta.results.index import INDEX, RunIndex
from ctta.results.result import Result
from ctta.results.store import RunStore

CONFIG = {
    "names": {"method": "tent", "dataset": "digits_c", "stream": "continual", "model": "cnn"},
    "method": {"steps": 1, "optimizer": {"lr": 0.001}},
    "stream": {"seed": 0},
    "seed": 0,
}


def trace(number=0, n=60):
    samples = {name: np.zeros(n, dtype=dtype) for name, dtype in SAMPLE_COLUMNS.items()}
    samples["sample_id"] = np.arange(n) + number
    batches = {name: np.ones(4, dtype=dtype) for name, dtype in BATCH_COLUMNS.items()}
    return Trace(samples, batches, ("fog-5",), 2)


def result(number=0, own=None, **changes):
    values = {
        "schema_version": 1,
        "status": "finished",
        "reason": None,
        "identity": f"{number:012x}" + "0" * 52,
        "config": CONFIG | {"seed": number},
        "method": {"name": "tent", "target": "x.Tent", "version": 1, "uses_source_data": False},
        "stream": {"name": "s", "version": 1, "protocol_sha256": "p", "stream_sha256": "s"},
        "data": {"identity": {"id": "digits_c"}, "data_sha256": "d"},
        "model": {"name": "cnn", "weights_sha256": "w"},
        "seeds": {"method": number, "stream": 0},
        "metrics_version": 1,
        "metrics": {"error_pct": 30.0},
        "error_by_domain": {"fog-5": 20.0},
        "costs": None,
        "source_data": None,
        "artefact": None,
        "environment": {"ctta": "0.1.0", "commit": "c", "plugins": {}, "torch": "2"},
        "trace_sha256": (own or trace(number)).sha256(),
    }
    return Result.from_json(json.dumps(values | changes))


def keep(store, number=0, **changes):
    kept = result(number, **changes)
    folder = store.folder("tent", "digits_c", kept.identity)
    store.keep(folder, kept, trace(number) if kept.status == "finished" else None)
    return folder


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def statuses(store):
    return {run.folder[-4:]: run.status for run in RunIndex(store.root).refresh()}


def rows(store):
    """What the file of the index has, without a look at the folders."""
    with sqlite3.connect(store.root / INDEX) as connection:
        return dict(connection.execute("SELECT folder, status FROM runs"))


def test_a_run_that_is_kept_is_in_the_index_at_once(store):
    folder = keep(store, 7)
    assert rows(store) == {folder.name: "finished"}
    with sqlite3.connect(store.root / INDEX) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    (run,) = RunIndex(store.root).refresh()
    shown = {k: v for k, v in run.shown().items() if k != "ended"}
    assert shown == {
        "folder": folder.name,
        "status": "finished",
        "method": "tent",
        "dataset": "digits_c",
        "stream": "continual",
        "model": "cnn",
        "seed": 7,
        "stream_seed": 0,
        "error_pct": 30.0,
        "reason": None,
        "code": "c",
    }
    assert run.config["method"]["optimizer"]["lr"] == 0.001


def test_the_index_follows_folders_that_come_change_and_go(store):
    keep(store, 1)
    keep(store, 2, status="failed", reason="batch 3", metrics={}, trace_sha256=None)
    (store.root / INDEX).unlink()
    assert statuses(store) == {"0001": "finished", "0002": "failed"}
    second = keep(store, 2)
    assert statuses(store) == {"0001": "finished", "0002": "finished"}
    for path in second.iterdir():
        path.unlink()
    second.rmdir()
    assert statuses(store) == {"0001": "finished"} == {k[-4:]: v for k, v in rows(store).items()}


def test_unfinished_and_damaged_runs_are_told_apart(store):
    stopped, damaged, cut, unknown = (keep(store, number) for number in range(4))
    for folder in (stopped, unknown):
        (folder / "result.json").unlink()
    (stopped / "log.txt").write_text("")
    (damaged / "trace.npz").unlink()
    (cut / "result.json").write_text('{"schema_version": 1')
    (unknown / "config.yaml").write_text("[")
    (store.root / "wandb").mkdir()
    expected = {"0000": "stopped", "0001": "damaged", "0002": "damaged", "0003": "damaged"}
    assert statuses(store) == expected
    with (stopped / "log.txt").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert statuses(store) == expected | {"0000": "running"}
    assert statuses(store) == expected


@pytest.mark.parametrize(
    "content",
    [b"", b"no database at all" * 100, b"SQLite format 3\0" + b"\1" * 4000],
    ids=["empty", "another file", "damaged"],
)
def test_a_damaged_index_is_made_again(store, content):
    keep(store, 1)
    for path in store.root.glob(f"{INDEX}*"):
        path.unlink()
    (store.root / INDEX).write_bytes(content)
    assert statuses(store) == {"0001": "finished"}
    assert len(rows(store)) == 1
    keep(store, 2)
    assert len(rows(store)) == 2


def test_an_index_of_another_version_is_made_again(store):
    keep(store, 1)
    with sqlite3.connect(store.root / INDEX) as connection:
        connection.execute("DROP TABLE runs")
        connection.execute("CREATE TABLE runs (a)")
        connection.execute("PRAGMA user_version = 99")
    assert statuses(store) == {"0001": "finished"}


def test_a_store_without_an_index_is_read_all_the_same(store):
    keep(store, 1)
    for path in store.root.glob(f"{INDEX}*"):
        path.unlink()
    (store.root / INDEX).mkdir()
    assert statuses(store) == {"0001": "finished"}
    keep(store, 2)
    assert len(statuses(store)) == 2


def test_a_store_without_hard_links_is_read_all_the_same(store, monkeypatch):
    folder = keep(store)
    (store.root / INDEX).unlink()

    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    assert statuses(store) == {folder.name[-4:]: "finished"}
    assert not (store.root / INDEX).exists()


def test_a_folder_that_goes_while_it_is_read_is_no_run(store, monkeypatch):
    gone, kept = keep(store, 1), keep(store, 2)
    (store.root / INDEX).unlink()
    read = index.read
    monkeypatch.setattr(index, "read", lambda f: (f == gone and shutil.rmtree(f)) or read(f))
    assert statuses(store) == {kept.name[-4:]: "finished"}


def test_a_store_that_is_not_there_is_empty(tmp_path):
    assert RunIndex(tmp_path / "absent").refresh() == []
    assert not (tmp_path / "absent").exists()


def writer(root, numbers, kept, stays):
    """In another process: keep runs one after the other, and say the number of each."""
    store = RunStore(root)
    for number in numbers:
        keep(store, number)
        kept.send(number)
    if stays:  # on a busy machine it may be done before it is killed
        signal.pause()


@pytest.fixture
def started(monkeypatch):
    """started(root, numbers): a process that keeps these runs, and where it says which it has.

    It is forked from a process that has no threads; tests before this one may have left some here.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what numpy starts when it is imported
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])

    def start(root, numbers, *, stays=False):
        ours, theirs = server.Pipe(duplex=False)
        process = server.Process(target=writer, args=(root, numbers, theirs, stays), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    return start


def said(pipe):
    found = set()
    with suppress(EOFError), pipe:
        while True:
            found.add(pipe.recv())
    return found


def check_whole(store, runs):
    for run in runs:
        folder = store.root / run.folder
        assert run.status == "finished", run
        kept = Result.load(folder / "result.json")
        assert Trace.load(folder / "trace.npz").sha256() == kept.trace_sha256
        assert yaml.safe_load((folder / "config.yaml").read_text()) == kept.config


@pytest.mark.parametrize(
    ("n_runs", "n_writers"), [(48, 4), pytest.param(2000, 8, marks=pytest.mark.slow)]
)
def test_writers_that_are_killed_lose_nothing(store, started, n_runs, n_writers):
    """Half of the writers are killed on their way, each is followed by another process."""
    chance = random.Random(0)
    shares = [list(range(first, n_runs, n_writers)) for first in range(n_writers)]
    children = [
        started(store.root, share, stays=number < n_writers // 2)
        for number, share in enumerate(shares)
    ]
    acknowledged, seen = set(), set()
    for number in range(n_writers // 2):
        child, pipe = children[number]
        enough = chance.randrange(1, len(shares[number]) // 2)
        while len(list(store.root.glob("*/result.json"))) < enough * (number + 1):
            found = [run for run in RunIndex(store.root).refresh() if run.status != "stopped"]
            check_whole(store, [run for run in found if run.folder not in seen])
            seen |= {run.folder for run in found}
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        kept = said(pipe)
        acknowledged |= kept
        children[number] = started(store.root, [n for n in shares[number] if n not in kept])
    for child, pipe in children:
        acknowledged |= said(pipe)
        child.join()
        assert child.exitcode == 0
    assert acknowledged == set(range(n_runs))
    runs = RunIndex(store.root).refresh()
    assert [run.seed for run in runs] == list(range(n_runs))
    assert len(rows(store)) == n_runs
    check_whole(store, runs)
    for path in store.root.glob(f"{INDEX}*"):
        path.unlink()
    assert RunIndex(store.root).refresh() == runs
