"""The outcomes of a sweep's runs, here and in other processes."""

from dataclasses import replace

import pytest

from ctta.results import sweep as module
from ctta.results.sweep import SWEEPS, Outcome, Sweep


@pytest.fixture(params=[False, True], ids=["here", "elsewhere"])
def keep(request, tmp_path):
    """Note outcomes as the runs of one process, or of processes of their own, do."""
    sweep = Sweep(tmp_path / ".sweeps" / "one")

    def note(*outcomes):
        for outcome in outcomes:
            own = Sweep(sweep.folder) if request.param else sweep
            own.keep(outcome, for_others=request.param)
        return sweep

    return note


def test_progress_counts_and_tells_the_time_left(keep, monkeypatch):
    monkeypatch.setattr(module.time, "time", lambda: 160.0)
    runs = [Outcome(number, 8, began=100.0 + number) for number in range(3)]
    assert keep(*runs).progress() == "0 of 8 runs done, 0 failed, 3 running"
    sweep = keep(replace(runs[0], status="finished"), replace(runs[2], status="failed"))
    assert sweep.progress() == "2 of 8 runs done, 1 failed, 1 running, about 0:03:00 left"


def test_an_unknown_number_of_runs_has_no_time_left(keep):
    sweep = keep(Outcome(0, None, 1.0, status="finished"))
    assert sweep.progress() == "1 runs done, 0 failed, 0 running"
    assert sweep.failures() == []


def test_what_has_no_result_has_a_reason(keep):
    sweep = keep(
        Outcome(2, 5, 1.0),
        Outcome(0, 5, 1.0, status="finished"),
        Outcome(1, 5, 1.0, status="failed", reason="batch 3: broken"),
    )
    assert [outcome.number for outcome in sweep.outcomes()] == [0, 1, 2]
    assert sweep.failures() == [
        "batch 3: broken",
        "run 2 ended without a word: it was killed, or its machine stopped",
        "not started",
        "not started",
    ]
    sweep.remove()
    assert not sweep.folder.parent.exists()


@pytest.mark.parametrize("there", ["store", "runs", "nothing"])
def test_a_sweep_takes_away_what_it_made_and_no_more(tmp_path, there):
    store = tmp_path / "runs"
    if there == "store":
        store.mkdir()
    sweep = Sweep(store / SWEEPS / "1")
    sweep.folder.mkdir(parents=True)
    if there == "runs":
        (store / "tent-digits_c-0").mkdir()
    sweep.remove()
    assert store.exists() == (there != "nothing")
    assert not (store / SWEEPS).exists()
