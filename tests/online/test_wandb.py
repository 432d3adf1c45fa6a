"""wandb: what it is told, that it cannot harm a run, and the real package offline."""

import importlib
import io
import subprocess
import sys
import types

import pytest
import torch

from ctta.online.observers import WandbTracking
from ctta.online.trace import Trace
from ctta.streams.stream import Batch

LABELS = torch.tensor([0, 1, 1, 0])
BATCH = Batch(
    x=torch.zeros(4, 3, 2, 2),
    y=LABELS,
    domain=torch.zeros(4, dtype=torch.long),
    ids=torch.arange(4),
    segment=2,
    fresh_start=False,
)
LOGITS = torch.tensor([[1.0, 0], [0, 1], [1, 0], [1, 0]])  # one of four is wrong
TRACE = Trace({"prediction": LOGITS.argmax(1).numpy(), "label": LABELS.numpy()}, {}, (), 2)


class Run:
    """Stands in for a wandb run; ``breaks`` names the call that fails."""

    def __init__(self, breaks=""):
        self.breaks, self.logged, self.summary, self.n_finished = breaks, [], {}, 0

    def log(self, values):
        self.fail_in("log")
        self.logged.append(values)

    def finish(self):
        self.n_finished += 1
        self.fail_in("finish")

    def fail_in(self, name):
        if self.breaks == name:
            raise OSError(f"no network\nin {name}")


def install(monkeypatch, init):
    fake = types.ModuleType("wandb")
    fake.Settings, fake.init = dict, init
    monkeypatch.setitem(sys.modules, "wandb", fake)


def follow(tracking):
    """What the loop does: two batches, the end, and the end of all."""
    tracking.on_start(None, 0)
    for _ in range(2):
        tracking.on_batch(BATCH, LOGITS)
    tracking.on_end(TRACE)
    tracking.close()


def tracking(tmp_path, mode="offline"):
    return WandbTracking({"seed": 0}, project="p", mode=mode, folder=str(tmp_path))


def test_it_hears_of_each_batch_and_of_the_end(monkeypatch, tmp_path):
    run = Run()
    install(monkeypatch, lambda **_: run)
    follow(tracking(tmp_path))
    assert run.logged == [{"error_pct": 25.0, "segment": 2}] * 2
    assert run.summary == {"error_all_pct": 25.0}
    assert run.n_finished == 1


@pytest.mark.parametrize("breaks", ["init", "log", "finish"])
def test_what_fails_is_said_once_on_one_line(monkeypatch, caplog, tmp_path, breaks):
    run = Run(breaks)

    def init(**_):
        run.fail_in("init")
        return run

    install(monkeypatch, init)
    follow(tracking(tmp_path))
    assert [r.getMessage() for r in caplog.records] == [
        f"wandb is left out from here on: no network in {breaks}"
    ]


def test_a_missing_package_is_said_once(monkeypatch, caplog, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    follow(tracking(tmp_path))
    (record,) = caplog.records
    assert record.getMessage().startswith("wandb is left out from here on: import of wandb")


def test_it_does_not_find_a_terminal_to_ask_at(monkeypatch, tmp_path):
    terminal, seen = io.StringIO(), []
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    install(monkeypatch, lambda **_: seen.append(sys.stdin.isatty()) or Run())
    tracking(tmp_path, mode="online")
    assert seen == [False]
    assert sys.stdin is terminal


def test_ctta_does_not_import_it():
    code = "import sys, ctta.cli, ctta.results.run; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_real_package_writes_the_errors_offline(monkeypatch, caplog, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    follow(tracking(tmp_path))
    assert not [r for r in caplog.records if r.name == "ctta"]
    # A finished run's file is closed by wandb's service process afterwards; this waits for its end,
    # as Python's own exit does.
    importlib.import_module("wandb").teardown()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    written = file.read_bytes()
    for word in (b"seed", b"error_pct", b"error_all_pct"):
        assert word in written


@pytest.mark.slow
def test_the_real_package_is_left_out_where_there_is_no_account(monkeypatch, caplog, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    follow(tracking(tmp_path, mode="online"))
    (message,) = [r.getMessage() for r in caplog.records if r.name == "ctta"]
    assert message.startswith("wandb is left out from here on: ")
    assert "wandb login" in message
