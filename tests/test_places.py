"""Folders that cannot be written: one clear line, and what was finished stays readable."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from ctta.locks import making
from ctta.methods.source import Source
from ctta.models import zoo
from ctta.online.trace import TraceWriter
from ctta.places import offline, saving
from ctta.results.artefacts import prepare
from ctta.results.result import Result
from ctta.results.store import RunStore
from ctta.streams.stream import Batch

QUICK = ["dataset.n_images=32", "stream.batch_size=16", "dataset.corruptions=[fog,contrast]"]


def all_files(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_what_cannot_be_written_says_what_to_set(tmp_path, largest_file):
    words = r"the folder here \(File too large\); .* set CTTA_RUNS"
    with pytest.raises(ValueError, match=words), saving("here", "CTTA_RUNS"), largest_file(0):
        (tmp_path / "file").write_text("text")


def test_the_network_is_forbidden_by_anything_but_nothing_and_zero(monkeypatch):
    monkeypatch.delenv("CTTA_OFFLINE", raising=False)
    assert not offline()
    for value, expected in (("", False), ("0", False), ("1", True), ("yes", True)):
        monkeypatch.setenv("CTTA_OFFLINE", value)
        assert offline() is expected


def test_a_source_model_that_cannot_be_kept_leaves_nothing_behind(
    tmp_path, monkeypatch, largest_file
):
    monkeypatch.setattr(zoo, "train", lambda *_, **__: None)
    with largest_file(1000), pytest.raises(ValueError, match=r"cannot write .* set CTTA_CACHE"):
        zoo.digits_model(cache=tmp_path)
    assert all_files(tmp_path) == []
    assert not list(tmp_path.rglob(".*"))


class Prepared:
    """As much of a method as `prepare` asks for."""

    version, artefact_depends_on, arguments = 1, None, {}

    def artefact(self, source):
        return {"memory": torch.zeros(10_000)}

    def source_part(self, source):
        return source


def test_an_artefact_that_cannot_be_kept_leaves_nothing_behind(tmp_path, largest_file):
    data = type("Source", (), {"identity": "i", "__len__": lambda self: 3})()
    with largest_file(1000), pytest.raises(ValueError, match=r"cannot write .* set CTTA_CACHE"):
        prepare(Prepared(), data, weights="w", cache=tmp_path)
    assert all_files(tmp_path) == []


def test_rows_that_find_no_room_are_named(tmp_path, monkeypatch, largest_file):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stream = type("Stream", (), {"domains": ["fog-5"]})()
    n = 5000
    batch = Batch(torch.zeros(n, 1), *torch.zeros(3, n, dtype=torch.long), 0, False)
    words = r"cannot write .*ctta-trace-.* set TMPDIR"
    with pytest.raises(ValueError, match=words), largest_file(1000), TraceWriter(stream) as writer:
        writer.append(batch, torch.zeros(n, 2))
    assert all_files(tmp_path) == []


def test_a_record_that_cannot_be_kept_leaves_the_finished_ones(
    ctta, tmp_path, monkeypatch, largest_file
):
    assert ctta("run", "method=source", *QUICK)[0] == 0
    (finished,) = tmp_path.glob("runs/*/result.json")
    keep = RunStore.keep

    def keep_in(limit):
        def limited(*arguments):
            with largest_file(limit):
                keep(*arguments)

        return limited

    for limit in (3000, 1000, 0):  # too little for result.json, trace.npz, config.yaml
        monkeypatch.setattr(RunStore, "keep", keep_in(limit))
        status, out, err = ctta("run", "-m", "method=source,norm", *QUICK)
        assert status == 1
        assert "Traceback" not in out + err
        assert "1 of 2 runs failed" in err
        assert "(File too large); change that, or set CTTA_RUNS to another one" in err
        assert Result.load(finished).status == "finished"
        assert list(tmp_path.glob("runs/*/result.json")) == [finished]
        assert not [p for p in tmp_path.rglob(".*") if p.is_file()]
    monkeypatch.setattr(RunStore, "keep", keep)
    assert ctta("run", "-m", "method=source,norm", *QUICK)[0] == 0
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 2


def test_a_failure_that_cannot_be_recorded_keeps_its_reason(ctta, monkeypatch):
    def adapt(self, x):
        raise ValueError("a reason of its own")

    def keep(*_):
        raise ValueError("cannot write")

    monkeypatch.setattr(Source, "adapt", adapt)
    monkeypatch.setattr(RunStore, "keep", keep)
    status, _, err = ctta("run", "method=source", *QUICK)
    assert status == 1
    assert "no record of this failed run: cannot write" in err
    assert err.rstrip().endswith("a reason of its own")


@pytest.mark.parametrize("name", ["result.json", "trace.npz", "config.yaml", "log.txt"])
def test_a_folder_in_place_of_a_file_is_one_line(ctta, tmp_path, name):
    ctta("run", "method=source", *QUICK)
    (folder,) = (p.parent for p in tmp_path.glob("runs/*/result.json"))
    (folder / name).unlink()
    (folder / name).mkdir()
    status, out, err = ctta("run", "method=source", "--force", *QUICK)
    assert status == 1
    assert "Traceback" not in out + err
    assert "Is a directory" in err
    assert str(folder) in err


def test_a_folder_in_place_of_a_cached_model_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "train", lambda *_, **__: None)
    zoo.digits_model(cache=tmp_path)
    (weights,) = tmp_path.rglob("*.safetensors")
    weights.unlink()
    weights.mkdir()
    with pytest.raises(ValueError, match=r"Is a directory.*set CTTA_CACHE"):
        zoo.digits_model(cache=tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """500 KB: some runs, and the rows of the one under way; skips where mounting is refused."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", folder]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"mounting is refused: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_keeps_the_finished_runs(small_disk, tmp_path, digits_cache):
    environment = {**os.environ, "CTTA_RUNS": str(small_disk), "CTTA_CACHE": str(digits_cache)}
    command = [sys.executable, "-m", "ctta", "run", "-m", "method=source", "progress=false"]
    seeds = f"stream.seed={','.join(map(str, range(12)))}"
    done = subprocess.run(
        [*command, "dataset.n_images=200", seeds],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    records = [Result.load(p) for p in small_disk.glob("*/result.json")]
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert "set CTTA_RUNS to another one" in done.stderr
    assert f"{12 - len(records)} of 12 runs failed" in done.stderr
    assert 4 <= len(records) < 12
    assert {r.status for r in records} == {"finished"}
    assert not [p for p in small_disk.rglob(".*") if p.is_file()]


MAKER = """
import sys, time
from pathlib import Path
from ctta.locks import making

path, seconds = Path(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
with making(path, "CTTA_CACHE"):
    if not path.is_file():
        print("makes", flush=True)
        time.sleep(seconds)
        path.write_text("made")
assert path.read_text() == "made"
"""


@pytest.fixture
def maker(process, tmp_path):
    """Start a process that makes a file, once it gets a line."""
    return lambda seconds: process(MAKER, tmp_path / "file", seconds)


def test_of_several_processes_one_makes_the_file(maker, tmp_path):
    processes = [maker(0.3) for _ in range(4)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate()[0] for process in processes)
    assert said == ["", "", "", "makes\n"]
    assert [process.returncode for process in processes] == [0] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_who_waits_for_a_killed_process_makes_the_file(maker, tmp_path, caplog):
    caplog.set_level("INFO", logger="ctta")
    process = maker(60)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "makes\n"
    killer = threading.Timer(0.2, process.kill)
    killer.start()
    with making(tmp_path / "file", "CTTA_CACHE"):
        assert not (tmp_path / "file").exists()
    killer.join()
    assert "another process makes" in caplog.text
    assert list(tmp_path.iterdir()) == []
