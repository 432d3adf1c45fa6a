"""Records: round trip, refusals in words; the store; comparison; table and pictures."""

import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.results.compare import compare
from ctta.results.environment import commit, environment
from ctta.results.identity import run_identity
from ctta.results.pictures import error_over_stream, error_per_corruption
from ctta.results.rerun import rerun_record
from ctta.results.result import Result
from ctta.results.store import RunStore
from ctta.results.table import markdown_table, rich_table
from ctta.results.unadapted import source_mistakes
from ctta.results.values import chosen_device, whole_number

RECORD = json.loads(Path(__file__).with_name("record.json").read_text())


def record(**changes):
    """The record above with dotted keys changed."""
    values = copy.deepcopy(RECORD)
    for path, value in changes.items():
        *parents, key = path.split("__")
        node = values
        for parent in parents:
            node = node[parent]
        node[key] = value
    return values


def result(**changes):
    return Result.from_json(json.dumps(record(**changes)))


def test_a_record_survives_the_disk(tmp_path):
    result().save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result()
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "expected schema_version 1, got None"),
        (json.dumps(record(schema_version=2)), "expected schema_version 1, got 2; read it with"),
        (json.dumps(record(extra=1)), "extra: Extra inputs are not permitted"),
        (
            json.dumps(record(method__version="1")),
            "method.version: Input should be a valid integer",
        ),
        (json.dumps({k: v for k, v in RECORD.items() if k != "seeds"}), "seeds: Field required"),
        (json.dumps(record(status="half")), "status: Input should be 'finished' or 'failed'"),
        (json.dumps(record(metrics={"nll": float("nan")})), "metrics.nll: .*finite"),
    ],
)
def test_what_a_record_refuses_it_names(text, words):
    with pytest.raises(ValueError, match=words):
        Result.from_json(text)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*absent\.json"):
        Result.load(tmp_path / "absent.json")


def trace(n=60, segments=3):
    samples = {
        name: np.zeros(n, dtype=dtype) + (name == "label_logprob") * -1.0
        for name, dtype in SAMPLE_COLUMNS.items()
    }
    samples["segment"] = samples["domain"] = np.arange(n) * segments // n
    samples["label"] = np.arange(n) % 2
    batches = {name: np.ones(4) for name in BATCH_COLUMNS}
    return Trace(samples, batches, ("fog-5", "snow-3", "frost-5"), 2)


def test_the_store_finds_what_is_whole_and_nothing_else(tmp_path):
    store = RunStore(tmp_path / "runs")
    own = trace()
    kept = result(trace_sha256=own.sha256())
    folder = store.folder("tent", "digits_c", kept.identity)
    assert folder.name == "tent-digits_c-aaaaaaaaaaaa"
    assert store.finished(folder) is None
    store.keep(folder, kept, own)
    assert store.finished(folder) == kept
    assert sorted(p.name for p in folder.iterdir()) == ["config.yaml", "result.json", "trace.npz"]
    store.keep(folder, result(trace_sha256="another"), own)
    assert store.finished(folder) is None
    store.keep(folder, result(status="failed", reason="batch 3"), None)
    assert store.finished(folder) is None


def test_a_root_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(ValueError, match=r"cannot use the folder .*runs .*set CTTA_RUNS"):
        RunStore(tmp_path / "runs")


def test_the_same_trace_is_the_same_bits():
    verdict = compare(result(), result())
    assert (str(verdict), verdict.same) == ("same bits", True)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"environment__torch": "3"}, "environment differs: torch: 2 -> 3"),
        ({"environment__commit": "e"}, "code differs: commit: c -> e"),
        ({"method__version": 2}, "code differs: method: 1 -> 2"),
        ({"data__data_sha256": "x"}, "data differs: data_sha256: d -> x"),
        ({"model__weights_sha256": "x"}, "weights differs: weights_sha256: w -> x"),
        ({"stream__stream_sha256": "x"}, "stream differs: stream_sha256: s -> x"),
        ({}, "nothing recorded differs"),
    ],
)
def test_what_differs_is_named(changes, line):
    verdict = compare(result(), result(trace_sha256="u", **changes))
    assert verdict.same
    assert "same numbers within 0.00" in str(verdict)
    assert line in str(verdict)


def test_other_numbers_are_not_the_same():
    verdict = compare(result(), result(trace_sha256="u", error_by_domain={"fog-5": 21.0}))
    assert not verdict.same
    assert "different numbers: up to 40.00 points" in str(verdict)


def identity(**changes):
    keys = ("seed", "dataset", "stream", "model", "method", "online", "compute")
    config = {key: {"a": 1} for key in keys} | {"paths": 1, "tracking": 1} | changes
    return run_identity(config, weights="w")


def test_identity_follows_what_decides_numbers():
    assert identity() == identity(paths=2, tracking=2, progress=False)
    assert identity() == identity(compute={"a": 1, "prefetch": 2})
    assert identity() == identity(online={"a": 1, "checkpoint_every": "60s"})
    assert identity() == identity(model={"a": 1, "weights": "elsewhere.pt"})
    for key in ("seed", "dataset", "stream", "model", "method", "online", "compute"):
        assert identity(**{key: {"a": 2}}) != identity()


def test_the_environment_is_json():
    found = environment(torch.device("cpu"), 1)
    assert json.loads(json.dumps(found)) == found
    assert found["torch"] == torch.__version__


def test_code_outside_a_checkout_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("ctta.__file__", str(tmp_path / "ctta" / "__init__.py"))
    assert commit() is None
    (tmp_path / ".git").mkdir()  # not git's
    assert commit() is None


def test_a_failed_run_has_nothing_to_compare(tmp_path):
    path = tmp_path / "result.json"
    result(status="failed", reason="batch 3").save(path)
    with pytest.raises(ValueError, match=r"records a failed run \(batch 3\); there is nothing"):
        rerun_record(path)


def test_the_sources_mistakes_are_those_of_a_whole_run_on_the_same_stream(tmp_path):
    store, own = RunStore(tmp_path / "runs"), trace()
    names = {"names": {**RECORD["config"]["names"], "method": "source"}}
    kept = result(trace_sha256=own.sha256(), config={**RECORD["config"], **names})
    damaged = store.folder("source", "digits_c", "0" * 64)
    damaged.mkdir()
    (damaged / "result.json").write_text("{")
    assert source_mistakes(store.root, kept.config, "s") is None
    store.keep(store.folder("source", "digits_c", kept.identity), kept, own)
    assert source_mistakes(store.root, kept.config, "s").tolist() == [False, True] * 30
    assert source_mistakes(store.root, kept.config, "another") is None
    other = {**kept.config, "model": {"name": "another"}}
    assert source_mistakes(store.root, other, "s") is None


def test_tables_hold_every_number_and_say_what_tells_rows_apart():
    slow = {"steps": 1, "optimizer": {"lr": 0.1}}
    other = {"identity": "b" * 64, "config__method": slow, "error_by_domain": {"fog-5": 1.25}}
    runs = [result(), result(**other)]
    text = markdown_table(runs)
    assert "| tent optimizer.lr=0.001 | 20.0 | 40.0 | 30.0 |" in text
    assert "| tent optimizer.lr=0.1 | 1.2 |  | 30.0 |" in text
    assert "| method | fog | snow 3 | mean |" in text
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(rich_table(runs))
    assert "tent optimizer.lr=0.1" in console.export_text()


def test_a_table_averages_over_seeds_and_says_so():
    runs = [
        result(seeds__method=seed, trace_sha256=f"t{seed}", metrics={"error_pct": error})
        for seed, error in enumerate((30.0, 31.0, 32.0))
    ]
    text = markdown_table(runs)
    assert "| tent | 20.0 | 40.0 | 31.0 ± 2.5 |" in text  # 4.303 / sqrt(3)
    assert "over 3 seeds" in text
    text = markdown_table([*runs, result(method__name="norm")])
    assert "| norm | 20.0 | 40.0 | 30.0 |" in text
    assert "tent over 3 seeds" in text


def test_a_table_says_that_views_are_fewer():
    def views(name, n):
        method = {**RECORD["method"], "name": name}
        return result(method=method, config={**RECORD["config"], "method": {"n_views": n}})

    assert "cotta with 4 views (published: 32)" in markdown_table([views("cotta", 4)])
    for name, n in (("cotta", 32), ("vida", 10), ("tent", 4)):
        assert "published" not in markdown_table([views(name, n)])


def test_a_table_marks_a_run_that_is_no_reproduction():
    marked = result(model={**RECORD["model"], "deviations": ["resize: expected one, got none"]})
    assert "tent is no reproduction: resize: expected one, got none" in markdown_table([marked])
    assert "reproduction" not in markdown_table([result()])


def test_pictures_are_pngs(tmp_path):
    runs = [result(), result(method__name="norm")]
    for path in (
        error_per_corruption(runs, tmp_path / "a.png"),
        error_over_stream(runs, [trace(), trace()], tmp_path / "b.png"),
        error_over_stream(runs[:1], [trace(segments=1)], tmp_path / "c.png"),
    ):
        assert Image.open(path).format == "PNG"
    assert len(list(tmp_path.iterdir())) == 3


def test_numbers_and_devices_are_checked():
    assert whole_number(3, "seed", at_least=0) == 3
    for wrong in (True, 1.0, "1", -1):
        with pytest.raises(ValueError, match="seed: expected a whole number of at least 0"):
            whole_number(wrong, "seed", at_least=0)
    assert chosen_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"compute\.device: expected auto, cpu or cuda"):
        chosen_device("tpu")


def test_a_device_is_chosen_by_what_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"no CUDA device here; type compute\.device=cpu"):
        chosen_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device("auto") == chosen_device("cuda") == torch.device("cuda")
