"""The arithmetic of the benchmark on a device, and its official forms, without one."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from ctta import kernels


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark's module, on the CPU and for a small network."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = importlib.import_module("kernels_gpu")
    monkeypatch.setattr(module, "DEVICE", torch.device("cpu"))
    monkeypatch.setitem(module.MODELS, "small", lambda: nn.Linear(100, 30))
    return module


def test_floors_are_those_of_the_reference(benchmark):
    floors = {name: n_bytes for name, (n_bytes, _) in benchmark.UPDATES.items()}
    assert floors["ema"] == 12
    assert floors["restore"] == pytest.approx(0.62, abs=0.01)
    assert floors["ema_restore"] == pytest.approx(12.6, abs=0.05)
    # One read of the gradients; gradients, teacher and student; the teacher; the sectors restored.
    assert floors["fisher"] == pytest.approx(4 + 16 + 8 * 0.216, abs=0.01)


def test_a_bar_is_met_missed_or_not_resolved(benchmark):
    assert benchmark.verdict(1.0, 1.25, 0.05) == "met"
    assert benchmark.verdict(1.5, 1.25, 0.05) == "missed"
    assert benchmark.verdict(1.26, 1.25, 0.05) == "not resolved"
    assert benchmark.verdict(2.0, 2.0, 0) == "met"
    assert benchmark.verdict(3.0, None, 0) == ""


@pytest.mark.parametrize("update", ["ema", "fisher", "prior"])
def test_official_forms_do_what_ours_do(benchmark, update):
    ours, official = benchmark.Parameters("small"), benchmark.Parameters("small")
    getattr(ours, update)()
    getattr(official, f"official_{update}")()
    for name in ("teacher", "student", "gradients"):
        for one, other in zip(getattr(ours, name), getattr(official, name), strict=True):
            torch.testing.assert_close(one, other)


def test_the_official_restoration_puts_back_as_many(benchmark):
    own = benchmark.Parameters("small")
    official = [p.clone() for p in own.student]
    benchmark.official_restore(official, own.start, 0.5)
    kernels.restore_(own.student, own.start, kernels.Draw(0.5, 0, 0))
    for found in (official, own.student):
        back = sum((p == s).sum() for p, s in zip(found, own.start, strict=True))
        assert back / own.n == pytest.approx(0.5, abs=0.05)
