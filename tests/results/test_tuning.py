"""What is chosen from a grid, what an experiment holds of it, and what a result says of that."""

import json
from pathlib import Path

import pytest
import yaml

from ctta.results.result import Result
from ctta.results.table import markdown_table
from ctta.results.tuning import keep_chosen, tuning_record

RECORD = json.loads(Path(__file__).with_name("record.json").read_text())
NODE = {
    "values": ["optimizer.lr=0.1", "method.affinity=knn"],
    "budget": 6,
    "rank": 1,
    "points": 3,
    "dataset": "digits_c",
    "model": "cnn",
    "domains": ["spatter-5"],
}


def run(lr, order, error, **changes):
    values = json.loads(json.dumps(RECORD)) | changes
    values["config"]["method"]["optimizer"] = {"lr": lr}
    values["config"]["stream"]["seed"] = values["seeds"]["stream"] = order
    values["stream"]["stream_sha256"] = f"stream {order}"
    values["trace_sha256"] = values["identity"] = f"{lr} {order}"
    values["metrics"]["error_pct"] = error
    return Result.from_json(json.dumps(values))


def test_the_best_whole_point_of_a_grid_is_kept(tmp_path):
    errors = {0.001: (30.0, 34.0), 0.01: (31.0, 32.0), 0.1: (40.0, 41.0)}
    runs = [run(lr, order, e) for lr, own in errors.items() for order, e in enumerate(own)]
    runs.append(run(1.0, 0, 2.0))  # its other order failed
    (path,) = keep_chosen(runs, tmp_path).values()
    assert path == tmp_path / "experiment" / "tent_digits_c_cnn.yaml"
    text = path.read_text()
    assert text.startswith("# @package _global_\n")
    kept = yaml.safe_load(text)
    assert kept["optimizer"] == {"lr": 0.01}
    assert kept["tuning"] == {
        "values": ["optimizer.lr=0.01"],
        "budget": 7,
        "rank": 1,
        "points": 4,
        "dataset": "digits_c",
        "model": "cnn",
        "domains": ["fog-5", "snow-3"],
    }


def config(**changes):
    names = {"dataset": "digits_c"}
    values = {"optimizer": {"lr": 0.1}, "method": {"affinity": "knn"}, "tuning": NODE}
    return {"names": names, **values, **changes}


def test_a_result_says_whether_its_values_saw_the_test():
    record = tuning_record(config(), ["fog-5", "snow-5"])
    assert (record.budget, record.rank, record.on_its_own_stream) == (6, 1, False)
    assert tuning_record(config(), ["fog-5", "spatter-1"]).on_its_own_stream
    elsewhere = config(names={"dataset": "cifar10_c"})
    assert not tuning_record(elsewhere, ["spatter-5"]).on_its_own_stream


def test_other_values_than_the_chosen_are_not_recorded_as_chosen():
    assert tuning_record(config(optimizer={"lr": 0.2}), ["fog-5"]) is None
    assert tuning_record(config(tuning=None), ["fog-5"]) is None


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({k: v for k, v in NODE.items() if k != "budget"}, "budget Field required"),
        ({**NODE, "budget": "few"}, "budget Input should be a valid integer"),
        ({**NODE, "luck": 1}, "luck Extra inputs"),
        ("chosen by hand", "tuning: .*type tuning=null"),
    ],
)
def test_a_node_that_does_not_fit_is_refused(node, words):
    with pytest.raises(ValueError, match=words):
        tuning_record(config(tuning=node), ["fog-5"])


def test_a_table_marks_what_was_chosen_on_its_own_stream():
    marked = run(0.1, 0, 30.0, tuning={**NODE, "on_its_own_stream": True})
    assert "tent: values chosen on the stream" in markdown_table([marked])
    assert "chosen" not in markdown_table([run(0.1, 0, 30.0)])
