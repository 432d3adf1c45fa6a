"""How processes that share GPUs are dealt to them; the GPUs are names."""

import os
import subprocess
import sys

import pytest

from ctta.launchers import devices

HOLD = (
    "import sys; from pathlib import Path; from ctta.launchers.devices import take_gpu; "
    "print(take_gpu(Path(sys.argv[1])), flush=True); sys.stdin.read()"
)


@pytest.fixture
def gpus(monkeypatch):
    """Let CUDA's names be these."""

    def gpus(names):
        devices.visible_gpus.cache_clear()
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)

    yield gpus
    devices.visible_gpus.cache_clear()


@pytest.fixture
def process(tmp_path):
    """Start a process that takes a GPU and keeps it; returns (process, GPU)."""
    started = []

    def process():
        held = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "gpus")],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "3,5"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(held)
        return held, held.stdout.readline().strip()

    yield process
    for held in started:
        held.kill()
        held.communicate()


def test_processes_are_dealt_in_turn_and_a_killed_one_leaves_its_place(process):
    held = [process() for _ in range(4)]
    assert [gpu for _, gpu in held] == ["3", "5", "3", "5"]
    held[1][0].kill()
    held[1][0].wait()
    assert process()[1] == "5"
    assert process()[1] == "3"


def test_runs_at_once_follow_from_the_gpus(gpus):
    gpus("3,5")
    assert devices.at_once(None, 2) == 2
    assert devices.at_once(3, 2) == 6
    assert devices.gpu_share(4) == 0.25
    assert devices.gpu_share(None) == 0


def test_a_share_of_no_gpu_is_refused(gpus):
    gpus("-1")
    with pytest.raises(ValueError, match="runs_per_gpu: expected null, as no GPU is visible here"):
        devices.at_once(1, 2)
    for wrong in (0, 0.5, "two"):
        with pytest.raises(ValueError, match="runs_per_gpu: expected a whole number of at least 1"):
            devices.gpu_share(wrong)
