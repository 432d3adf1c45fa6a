"""The benchmarks of updates and views say of each bar whether it is met, or not resolved."""

import importlib
import itertools
import json
import sys
from pathlib import Path

import pytest
from torch import nn

from ctta.models.digits import TinyCNN

VERDICTS = {"met", "missed", "not resolved"}


@pytest.fixture
def printed(monkeypatch, tmp_path, capsys):
    """Call a benchmark with small inputs: name, attributes -> lines printed, rows written."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))

    def call(name, **attributes):
        module = importlib.import_module(name)
        for attribute, value in attributes.items():
            monkeypatch.setattr(module, attribute, value)
        monkeypatch.setattr(sys, "argv", [name, "--rounds", "2", "--json", str(tmp_path)])
        module.main()
        rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
        return capsys.readouterr().out.splitlines(), rows

    return call


def test_updates(printed):
    lines, rows = printed("kernels", MODELS={"ResNet-50": lambda weights: nn.Linear(100, 30)})
    barred = {row["update"] for row in rows if row["bar"]}
    assert barred == {"EMA", "restore p=0.01", "Fisher threshold, mask, restore"}
    for row in rows:
        (line,) = (text for text in lines if text.startswith(row["update"] + "  "))
        assert row["spread"] >= 0
        assert row["verdict"] in VERDICTS if row["bar"] else row["verdict"] == ""
        assert line.endswith(row["verdict"])


def test_views(printed):
    lines, (row, *others) = printed("augmentation", SHAPES=((2, 3, 8, 8), (1, 3, 8, 8)))
    assert row["bar"] == 3
    assert row["verdict"] in VERDICTS
    assert lines[1].endswith(row["verdict"])
    assert [other["verdict"] for other in others] == [""]


@pytest.mark.parametrize(
    ("seconds", "verdicts"),
    [([1.0], ["met", "missed", "met"]), ([1.0] * 6 + [1.1] * 4, ["not resolved"] * 2 + ["met"])],
    ids=["all alike", "slower in the second round"],
)
def test_a_bar_inside_the_spread_is_not_resolved(printed, monkeypatch, seconds, verdicts):
    """Ours and the official form take as long as each other, in each of two rounds."""
    given = itertools.cycle(seconds)
    monkeypatch.setattr(importlib.import_module("timing"), "seconds", lambda _: next(given))
    bars = {"EMA": 1.0, "restore p=0.01": 1.01, "Fisher threshold, mask, restore": 0.5}
    small = {"ResNet-50": lambda weights: nn.Linear(100, 30)}
    lines, rows = printed("kernels", MODELS=small, BARS=bars)
    assert [row["verdict"] for row in rows if row["bar"]] == verdicts
    assert [line.endswith(verdicts[0]) for line in lines if line.startswith("EMA  ")] == [True]


def test_the_official_step_of_cotta_predicts_what_ours_does(printed):
    lines, rows = printed("cotta", CASES={"tiny": (TinyCNN, (4, 3, 32, 32))})
    assert [(row["case"], row["anchor"]) for row in rows] == [("tiny", "sure"), ("tiny", "unsure")]
    assert max(row["difference"] for row in rows) < 1e-5
    assert len(lines) == 1 + len(rows)
