"""Published numbers run again: our own row passes, and fails with its cause."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from ctta.assets import asset_dir
from ctta.leaderboard.published import EVIDENCE, PublishedRow, about, published_rows
from ctta.methods.norm import Norm
from ctta.models.cards import LIST_5000, LIST_ALL, PUBLISHED
from ctta.online.trace import Trace
from ctta.reproduce.reproduction import Reproduction, free
from ctta.reproduce.verdict import Line, Verdict, corruption_lines, tolerance

ROW = "norm/digits_c/first_100"
WEIGHTS = asset_dir("published") / "weights" / "digits_cnn.safetensors"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run store for the module: the source model runs once over the same images."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def reproduce(ctta, runs, monkeypatch):
    """`ctta reproduce` with that store."""
    monkeypatch.setenv("CTTA_RUNS", str(runs))
    return lambda *arguments: ctta("reproduce", *arguments)


def test_our_own_row_passes_from_end_to_end(reproduce):
    status, out, err = reproduce("tent/digits_c/first_100")
    assert status == 0, out + err
    assert "PASS: tent/digits_c/first_100" in out
    assert "FAIL" not in out
    table = [line for line in out.splitlines() if "holds" in line]
    assert len(table) == 17  # the source model, 15 corruptions, the mean
    assert "source model" in table[0]


def other_weights(tmp_path):
    path = tmp_path / "other.safetensors"
    weights = load_file(WEIGHTS)
    save_file({**weights, "fc.weight": weights["fc.weight"].flip(0).contiguous()}, path)
    return f"model.weights={path}"


@pytest.mark.parametrize(
    ("row", "overrides", "cause"),
    [
        ("tent", ["optimizer.lr=0.02"], "method.optimizer.lr: expected 0.01, got 0.02"),
        ("norm", ["stream.seed=3"], "stream_sha256: expected 36de248a"),
        (
            "norm",
            ["stream=cotta_orders", "stream.order_number=2"],
            "stream.order: expected None, got cotta",
        ),
        ("norm", ["method.statistics=updated"], "method.statistics: expected batch, got updated"),
        ("norm", ["dataset.corruption_seed=1"], "dataset.corruption_seed: expected 0, got 1"),
    ],
)
def test_another_value_fails_with_its_cause(reproduce, row, overrides, cause):
    status, out, err = reproduce(f"{row}/digits_c/first_100", *overrides)
    assert status == 1, out + err
    assert f"FAIL: {row}/digits_c/first_100" in out
    assert cause in out


def test_other_weights_fail_before_anything_runs(ctta, tmp_path):
    status, out, _ = ctta("reproduce", ROW, other_weights(tmp_path))
    assert status == 1
    assert "FAIL: norm/digits_c/first_100" in out
    assert "expected a file with SHA-256 21651bd0" in out
    assert not list(tmp_path.glob("runs/norm-*"))


def test_other_weights_without_strict_fail_at_the_source_error(ctta, tmp_path):
    more = [other_weights(tmp_path), "model.strict=false"]
    status, out, _ = ctta("reproduce", ROW, *more)
    assert status == 1
    assert "source model: expected an error of 28.73 %" in out
    assert "the method was not run" in out
    assert not list(tmp_path.glob("runs/norm-*"))
    (path,) = tmp_path.glob("runs/source-*/result.json")
    assert json.loads(path.read_text())["model"]["deviations"]  # the result is marked


def test_batch_norm_in_the_wrong_mode_is_suspected(ctta, monkeypatch):
    monkeypatch.setattr(Norm, "adapt", lambda self, x: self.model.eval()(x))
    status, out, err = ctta("reproduce", ROW)
    assert status == 1, out + err
    assert "mean: expected 11.67, got 28.73" in out
    assert "configuration, weights, stream and images are those of the record" in out
    assert "batch norm with the source's statistics (eval mode)" in out


def test_a_data_set_that_is_not_there_is_no_verdict(ctta):
    status, out, err = ctta("reproduce", "cotta/cifar10_c/continual")
    assert status == 1
    assert "PASS" not in out
    assert "FAIL" not in out
    assert "CIFAR-10-C" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tent/digits_c/continua"], "as tent/digits_c/continual"),
        (["adacontrast/cifar10_c/continual"], "The method is not in this package."),
        ([ROW, "fast"], "expected key=value, got 'fast'"),
        (["list", "--benchmark", "mnist"], "--benchmark: expected one of cifar100_c, cifar10_c"),
    ],
)
def test_mistakes_are_one_line(ctta, arguments, words):
    status, out, err = ctta("reproduce", *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_the_list_shows_what_is_known_of_each_number(ctta):
    status, out, _ = ctta("reproduce", "list", "--benchmark", "cifar10_c")
    assert status == 0
    (line,) = [n for n in out.splitlines() if "cotta/cifar10_c/continual\t" in n and "16.2" in n]
    assert line.count("\t") == out.splitlines()[0].count("\t") == 6
    for words in ("continual", "WideResNet-28-10", "16.2 ± 0.1", "Table 2", "primary"):
        assert words in line
    _, out, _ = ctta("reproduce", "list", "--json")
    rows = json.loads(out)
    assert {row["benchmark"] for row in rows} > {"cifar10_c", "imagenet_c", "digits_c"}
    assert all(row["name"] and row["evidence"] and row["source"] for row in rows)


# --- the parts ---------------------------------------------------------------------------------


def row(**changes) -> PublishedRow:
    """A row of a paper."""
    values = {
        "benchmark": "cifar10_c",
        "method": "cotta",
        "setting": "continual",
        "architecture": "any",
        "metric": "error_pct",
        "value": 16.2,
        "rounds": 1,
        "order": "standard",
        "source": "cotta",
        "table": "Table 2",
        "document": "the paper",
        "evidence": "primary",
        "experiment": "cifar10_c/continual/cotta",
    }
    return PublishedRow(**{**values, **changes})


def test_the_best_evidence_decides():
    reproduction = Reproduction("source/cifar10_c/continual")
    found = [r.evidence for r in reproduction.rows]
    assert found == sorted(found, key=EVIDENCE.index)
    assert (reproduction.row.value, reproduction.row.evidence) == (43.5, "primary")


def test_tolerances():
    assert tolerance(row()) == 0.5
    assert tolerance(row(std=1.8)) == pytest.approx(5.4)
    assert tolerance(row(metric="nll", value=2.0)) == pytest.approx(0.1)
    assert Line("mean", 16.2, 16.7, 0.5).within
    assert not Line("mean", 16.2, 16.71, 0.5).within
    assert Line("mean", 16.2, 99.0, None).within


def test_an_override_that_may_move_a_number_is_a_cause():
    changed = Reproduction("cotta/cifar10_c/continual", ["optimizer.lr=0.1", "paths.runs=here"])
    assert list(changed.verdict().causes) == ["optimizer.lr=0.1 is not as published"]
    assert not changed.verdict().passed
    assert free("compute.device")
    assert free("+tracking.project")
    assert not free("compute.dtype")
    assert not free("method")


def test_a_verdict_names_the_row_and_its_causes():
    said = str(Verdict("cotta/cifar10_c/continual", row(), [], ["one", "two"]))
    assert said.splitlines()[1:] == ["  one", "  two"]
    assert "CVPR 2022, arXiv 2203.13591, Table 2 (primary)" in said.splitlines()[0]


def test_the_table_is_whole():
    said = about()
    rows = published_rows()
    assert {r.source for r in rows} == said.sources.keys()
    assert {r.evidence for r in rows} == said.evidence.keys() == set(EVIDENCE)
    assert {r.reason for r in rows if r.reason} == said.reasons.keys()
    # Known numbers, from the pages and not from the table.
    known = {(r.name, r.value) for r in rows}
    for name, value in (
        ("cotta/cifar10_c/continual", 16.2),
        ("cotta/cifar10_c/gradual", 10.4),
        ("cotta/imagenet_c/continual_orders", 63.0),
        ("rmt/cifar100_c/continual_shuffled", 30.2),
        ("roid/imagenet_c/continual_shuffled", 54.5),
        ("eata/imagenet_c/reset_each_50k", 52.2),
        ("vida/imagenet_c/continual_vit", 43.37),
        ("rotta/domainnet126/recurring_rotta", 62.1),
    ):
        assert (name, value) in known


def test_a_row_needs_a_configuration_or_a_reason():
    with pytest.raises(ValueError, match="expected either an experiment or a reason"):
        row(experiment=None)
    with pytest.raises(ValueError, match="expected either an experiment or a reason"):
        row(reason="method")


def trace(wrong_by_visit: dict[str, int], n: int = 10) -> Trace:
    """A trace of ``n`` images a visit, so many of them wrong."""
    wrong = np.concatenate([np.arange(n) < count for count in wrong_by_visit.values()])
    samples = {
        "domain": np.repeat(np.arange(len(wrong_by_visit)), n),
        "label": np.zeros(len(wrong), dtype=int),
        "prediction": wrong.astype(int),
    }
    return Trace(samples, {}, tuple(name.partition("@")[0] for name in wrong_by_visit), 2)


def result(model=None, **metrics):
    """What is read of a record."""
    return SimpleNamespace(metrics=metrics, model=model or {})


def test_a_mean_over_runs_and_visits_is_compared():
    tried = Reproduction("source/cifar10_c/gradual")
    assert tried.row.value == 24.8
    # Twice at severity 1: each visit counts, as in the paper.
    tried.add(result(), trace({"fog-5": 9, "fog-1": 1, "snow-1": 2, "snow-5": 4, "snow-1@2": 4}))
    tried.add(result(), trace({"snow-5": 4, "snow-1": 2, "fog-1": 1, "fog-5": 2, "fog-1@2": 1}))
    (line,) = tried.verdict().lines
    assert line.obtained == pytest.approx((40 + 20) / 2)
    assert tried.verdict().causes == [
        "mean: expected 24.8, got 30.00, which is more than 0.50 away"
    ]


def test_accuracy_and_other_metrics_of_the_same_runs():
    tried = Reproduction("tent/cifar10_c/continual")
    tried.add(result(nll=1.9, brier=0.4), trace({"fog-5": 2, "snow-5": 3}))
    others = {line.what: line for line in tried.verdict().lines if line.tolerance is None}
    assert others["nll, vcotta Table 6"].obtained == 1.9
    tried = Reproduction("source/imagenet_c/label_shift")
    tried.add(result(), trace({"fog-5": 8, "snow-5": 9}))
    assert tried.verdict().lines[0].obtained == pytest.approx(15.0)
    assert tried.row.value == 18.0


def test_corruptions_are_those_of_the_first_round_by_name():
    visits = {"fog-5": 1, "snow-5": 2, "fog-5@2": 9, "snow-5@2": 9}
    published = row(by_corruption={"snow": 20.0, "fog": 15.0}, rounds=2, n_images=10_000)
    lines = corruption_lines(published, [trace(visits), trace({**visits, "fog-5": 3})])
    assert [(line.what, line.published, line.obtained) for line in lines] == [
        ("snow", 20.0, 20.0),
        ("fog", 15.0, 20.0),
    ]
    assert [line.within for line in lines] == [True, False]


def test_a_deviation_from_the_card_is_a_cause():
    tried = Reproduction("source/cifar10_c/gradual")
    tried.add(result({"deviations": ["resize: expected one, got none"]}), trace({"fog-5": 4}))
    assert "resize: expected one, got none" in tried.verdict().causes


def record_of(name, preprocessing, list_sha256):
    """A source model over images, as far as it is read."""
    card = PUBLISHED[name].card.to_dict()
    identity = {"id": "imagenet_c", "preprocessing": preprocessing, "list_sha256": list_sha256}
    return SimpleNamespace(model=card, data=SimpleNamespace(identity=identity))


def test_the_expected_source_error_is_the_tables_else_the_cards():
    same = Reproduction("tent/cifar10_c/continual")
    assert same.expected_source(None) == (43.5, "cotta, Table 2")
    lifelong = Reproduction("eata/imagenet_c/continual_50k")
    for found, expected in (
        (record_of("resnet50", "as stored, uint8 / 255", LIST_ALL), 82.0),
        (
            record_of("resnet50", "resize 256 bilinear, centre crop 224, uint8 / 255", LIST_5000),
            82.4,
        ),
    ):
        assert lifelong.expected_source(found)[0] == expected
    assert lifelong.expected_source(record_of("resnet50", "as stored, uint8 / 255", "00")) is None
    assert lifelong.expected_source(record_of("resnet50_many", "uint8 / 255", LIST_ALL)) is None
