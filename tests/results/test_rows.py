"""Which runs are averaged, ranked and paired, and what is said of those that are not."""

import json
from pathlib import Path

import pytest

from ctta.commands import stats
from ctta.results.result import Result
from ctta.results.rows import Row, gather, learning_rates, paired, ranked
from ctta.results.statistics import Interval
from ctta.results.table import row_names

RECORD = json.loads(Path(__file__).with_name("record.json").read_text())


def run(error=30.0, *, method="tent", seed=0, order=0, lr=0.001, **changes):
    """A finished run; its trace follows from method, seed, order and error."""
    values = json.loads(json.dumps(RECORD))
    values["method"]["name"] = method
    values["config"]["names"]["method"] = method
    values["config"]["method"]["optimizer"] = {"name": "adam", "lr": lr}
    values["config"]["seed"] = values["seeds"]["method"] = seed
    values["config"]["stream"]["seed"] = values["seeds"]["stream"] = order
    values["stream"]["stream_sha256"] = f"stream {order}"
    values["data"]["data_sha256"] = f"data {order}"
    values["identity"] = f"{method}{seed}{order}{lr}{changes}"
    values["trace_sha256"] = f"{method}{seed}{order}{error}"
    values["metrics"]["error_pct"] = error
    values["error_by_domain"] = {"fog-5": error - 10, "snow-5": error + 10}
    for path, value in changes.items():
        *parents, key = path.split("__")
        node = values
        for parent in parents:
            node = node[parent]
        node[key] = value
    return Result.from_json(json.dumps(values))


def test_rows_are_over_seeds_and_orders_and_nothing_else():
    runs = [run(30 + s + o, seed=s, order=o) for o in range(3) for s in range(2)]
    runs += [run(lr=0.1), run(method="norm"), run(status="failed", reason="batch 3")]
    rows = gather(runs)
    assert [len(row.results) for row in rows] == [6, 1, 1]
    assert rows[0].estimate().mean == pytest.approx(31.5)
    assert rows[0].estimate("fog-5").mean == pytest.approx(21.5)
    assert row_names(rows) == ["tent optimizer.lr=0.001", "tent optimizer.lr=0.1", "norm"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"method": "norm"}, "method: tent -> norm"),
        ({"method__version": 2}, "method version: 1 -> 2"),
        ({"stream__protocol_sha256": "q"}, "protocol_sha256: p -> q"),
        ({"model__weights_sha256": "v"}, "weights_sha256: w -> v"),
        ({"metrics_version": 2}, "metrics_version: 1 -> 2"),
        ({"lr": 0.1}, "settings.method.optimizer.lr: 0.001 -> 0.1"),
        ({"config__compute__threads": 2}, "settings.compute.threads: 1 -> 2"),
        ({"data__data_sha256": "other"}, "data_sha256: data 0 -> other"),
    ],
)
def test_what_is_not_comparable_is_not_averaged(other, words):
    with pytest.raises(ValueError, match=f"cannot be averaged: {words}"):
        Row((run(), run(seed=1, **other)))


def test_a_failed_run_is_no_part_of_a_mean():
    with pytest.raises(ValueError, match=r"failed \(batch 3\); it has no numbers"):
        Row((run(), run(seed=1, status="failed", reason="batch 3")))


def test_one_run_made_twice_with_unlike_traces_is_refused():
    with pytest.raises(ValueError, match="same seeds and unlike traces"):
        Row((run(30.0), run(31.0)))
    assert Row((run(), run())).varied == "one run"


def test_runs_that_cannot_differ_have_no_interval():
    row = Row(tuple(run(seed=s, trace_sha256="same") for s in range(3)))
    assert (row.estimate().t, row.varied) == (None, "3 seeds, identical traces")
    assert row.interval() == Interval(30.0, 30.0)
    single = Row((run(),))
    assert (single.estimate().t, single.interval()) == (None, None)


def test_of_seeds_with_identical_traces_each_order_counts_once():
    runs = [run(30.0 + o, seed=s, order=o, trace_sha256=f"{o}") for o in range(3) for s in range(4)]
    row, once = Row(tuple(runs)), Row(tuple(runs[::4]))
    assert row.estimate() == once.estimate()
    assert row.varied == "3 orders x 4 seeds, identical traces in each"
    assert once.varied == "3 orders"


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([(0, 0), (1, 0)], "2 seeds"),
        ([(0, 0), (0, 1)], "2 orders"),
        ([(0, 0), (1, 1)], "2 orders, a seed for each"),
        ([(0, 0), (1, 0), (0, 1), (1, 1)], "2 orders x 2 seeds"),
        ([(0, 0), (1, 0), (0, 1)], "2 orders x 1-2 seeds"),
    ],
)
def test_which_seed_varied_is_said(runs, words):
    row = Row(tuple(run(30.0 + s + o, seed=s, order=o) for s, o in runs))
    assert row.varied == words


def seeds(mean, method, orders=(0,), **changes):
    return [
        run(mean + d, method=method, seed=s, order=o, **changes)
        for o in orders
        for s, d in enumerate((-1.0, 0.0, 1.0))
    ]


def test_ranks_are_over_the_same_streams_and_data():
    rows = gather([*seeds(30, "tent"), *seeds(32, "norm"), *seeds(50, "source")])
    assert ranked(rows) == [1, 1, 3]
    rows = gather([*seeds(30, "tent", (0, 1)), *seeds(30, "norm")])
    with pytest.raises(ValueError, match=r"cover 1 and 2 streams, 1 of them in common"):
        ranked(rows)
    rows = gather([*seeds(30, "tent"), *seeds(30, "norm", model__weights_sha256="v")])
    with pytest.raises(ValueError, match="cannot be ranked together: weights_sha256: w -> v"):
        ranked(rows)
    rows = gather([*seeds(30, "tent"), *seeds(30, "norm", data__data_sha256="x")])
    with pytest.raises(ValueError, match="cannot be ranked together: data_sha256: data 0 -> x"):
        ranked(rows)


def test_pairs_share_a_stream():
    first, second, third = gather(
        [*seeds(30, "tent", (0, 1)), *seeds(34, "norm", (1, 2)), *seeds(30, "source", (3,))]
    )
    effect = paired(first, second)
    assert (effect.mean, effect.n_streams, effect.n_groups) == (-4, 1, 2)
    assert effect.interval.low < -4 < effect.interval.high
    with pytest.raises(ValueError, match="no order of the stream was run by both"):
        paired(first, third)
    (other,) = gather(seeds(30, "norm", error_by_domain={"fog-5": 1.0}))
    with pytest.raises(ValueError, match="other domains than"):
        paired(first, other)


def test_learning_rates_are_apart_from_other_settings():
    rows = gather(
        [
            *(run(30, lr=lr) for lr in (0.1, 0.01)),
            run(30, lr=1.0, config__online__window=4),
            run(30, method="norm"),
        ]
    )
    (found,) = learning_rates(rows)
    assert list(found) == [0.01, 0.1]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("CTTA_RUNS", str(tmp_path))
    runs = [*seeds(30, "tent"), *seeds(40, "tent", lr=0.1), *seeds(50, "norm")]
    for number, result in enumerate([*runs, run(status="failed", reason="batch 3")]):
        (tmp_path / str(number)).mkdir()
        result.save(tmp_path / str(number) / "result.json")
    return tmp_path


def test_the_command_says_all_of_it(store, capsys, caplog):
    assert stats.main(["--against", "norm"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["1", "tent", "optimizer.lr=0.001", "30.00"] in [line[:4] for line in lines]
    assert ["3", "norm", "50.00", "47.52", "to", "52.48"] in [line[:6] for line in lines]
    assert ["0.1", "40.00"] in [line[:2] for line in lines]
    assert "1 failed runs are left out" in caplog.text
    assert stats.main(["--against", "norm", "--metric", "fog-5", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)
    assert [row["mean"] for row in group["rows"]] == [20, 30, 40]
    assert [row.get("less", {}).get("mean") for row in group["rows"]] == [-20, -10, None]
    (rates,) = group["learning_rates"]
    assert (rates["best"], rates["rates"][1]["less_best"]["mean"]) == (0.001, 10)


def test_the_command_refuses_in_words(store, tmp_path):
    for arguments, words in (
        (["--metric", "height"], "metric: .* has error_pct, fog-5, snow-5; got 'height'"),
        (["--against", "sar"], "--against: expected one of tent .*; got 'sar'"),
        ([str(tmp_path / "absent")], "cannot read"),
        ([str(store / "9")], "no finished runs"),
    ):
        with pytest.raises(ValueError, match=words):
            stats.main(arguments)
