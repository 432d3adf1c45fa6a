"""Every check finds the entry that was tampered with, and names the field."""

import json
import shutil

import numpy as np
import pytest

from ctta.commands import leaderboard
from ctta.leaderboard.check import Check, Installed
from ctta.leaderboard.entry import Entry
from ctta.leaderboard.shipped import file_sha256
from ctta.results.compare import Verdict


def problems(entries, *, path=None, composed=False) -> str:
    """What the check says; of one entry unless ``path`` says otherwise."""
    shelf = entries.shelf
    found, broken = shelf.read(path or entries.path())
    check = Check(shelf, leaderboard.Installations() if composed else None)
    return "\n".join(map(str, [*broken, *check.check(found)]))


def test_nothing_is_wrong_with_what_was_not_changed(entries):
    assert problems(entries, path=entries.root) == ""


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("result.metrics.error_all_pct", 5.0, "error_all_pct: the trace says 11.0"),
        ("result.metrics.error_pct", 5.0, "error_pct: the mean over the domains is 11.0"),
        ("result.metrics.nll", lambda v: v - 0.01, "result.metrics.nll: the trace says 0.4"),
        ("result.metrics.ece", lambda v: v + 0.01, "result.metrics.ece: the trace says 0.0"),
        ("result.metrics.brier", lambda v: v - 0.01, "result.metrics.brier: the trace says 0.1"),
        ("result.metrics.collapsed_pct", 1.0, "collapsed_pct: the trace says 0, the record 1"),
        ("result.metrics.forgetting_pct", -1.0, "forgetting_pct: the trace says"),
        ("result.metrics", {"error_pct": 11.0}, "result.metrics.nll: the trace says"),
        ("result.metrics.accuracy", 1.0, "result.metrics.accuracy: no metric of this version"),
        ("result.error_by_domain.fog-5", 1.0, "result.error_by_domain.fog-5: the trace says 6"),
        ("result.error_by_domain.fog-5", -1.0, "fog-5: expected 0 to 100, got -1"),
        ("result.error_by_domain.haze-5", 1.0, "error_by_domain.haze-5: the trace says None"),
        ("result.costs.backwards", 3.0, "result.costs.backwards: the trace says 0"),
        ("result.costs.adapt_seconds", 1e-9, "result.costs.adapt_seconds: the trace says"),
        ("result.costs.samples_per_second", 1e9, "costs.samples_per_second: the trace says"),
        ("trace.sha256", "0" * 64, "trace: expected"),
        ("result.model.weights_sha256", "0" * 64, "weights_sha256: unknown weights"),
        ("result.stream.stream_sha256", "0" * 64, "stream.stream_sha256: unknown stream"),
        (
            "result.stream.protocol_sha256",
            "0" * 64,
            "stream.protocol_sha256: expected d3581bea58ba",
        ),
        ("result.data.data_sha256", "0" * 64, "data.data_sha256: expected"),
        ("result.metrics_version", 0, "result.metrics_version: expected 1, got 0"),
        ("result.seeds.stream", 7, "result.seeds.stream: expected that of config.stream.seed"),
        ("result.seeds.method", 7, "result.seeds.method: expected that of config.seed"),
        ("result.config.names.model", "digits_vit", "result.config.names: expected that of rerun"),
        ("result.method.name", "tent", "result.method.name: expected that of rerun.method"),
        ("rerun.method", "tent", "result.identity: expected the file at digits_c/tent/"),
        ("result.identity", "0" * 64, "result.identity: expected the file at digits_c/norm/000"),
        ("result.method.uses_source_data", True, "uses source data, but none are recorded"),
        ("result.source_data", "0" * 64, "uses no source data, but some are recorded"),
        ("rerun.overrides", {"optimizer.lr": 0.1}, "tuning.kind: not as installed: optimizer.lr"),
        ("tuning.kind", "grid", "tuning.kind: no choice by sweep=tune is recorded"),
    ],
)
def test_a_tampered_field_is_found(entries, field, value, words):
    entries.change(field, value)
    assert words in problems(entries)


def test_values_chosen_on_the_test_are_not_equally_tuned(many):
    path = many.path("tent")
    many.change("tuning.kind", "grid", path=path)
    assert problems(many, path=path) == ""
    many.change("result.tuning.on_its_own_stream", True, path=path)
    assert "tuning.kind: the values were chosen on the stream of the test" in problems(
        many, path=path
    )


def all_right(arrays, shared):
    arrays["prediction"] = shared["label"].astype(arrays["prediction"].dtype)


def likelier(arrays, shared):
    arrays["label_logprob"][:] = 0


def too_short(arrays, shared):
    arrays["top_prob"] = arrays["top_prob"][:-1]


def nan(arrays, shared):
    arrays["top_prob"][3] = np.nan


def above_one(arrays, shared):
    arrays["top_prob"][3] = 1.5


def no_such_class(arrays, shared):
    arrays["prediction"][3] = 10


def missing(arrays, shared):
    del arrays["label_logprob"]


def words_for_numbers(arrays, shared):
    arrays["top_prob"] = np.array(["x"] * len(arrays["top_prob"]))


def no_time(arrays, shared):
    arrays["adapt_seconds"][:] = 0


def squares(arrays, shared):
    arrays["sum_sq_prob"][:] = 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (all_right, "trace: label_logprob: expected a value for each of 0 wrong predictions"),
        (likelier, "predictions are not the most probable class"),
        (too_short, "trace: top_prob: expected 11955 values, got shape (11954,)"),
        (nan, "trace: top_prob: expected numbers"),
        (above_one, "trace: top_prob: expected values from 0 to 1"),
        (no_such_class, "trace: prediction: expected classes 0 to 9"),
        (missing, "trace: label_logprob: expected a column, got none"),
        (words_for_numbers, "trace: could not convert string to float"),
        (no_time, "trace: adapt_seconds: expected more than 0"),
        (squares, "trace.sum_sq_prob: 11955 values are impossible"),
    ],
)
def test_a_tampered_trace_is_found(entries, change, words):
    shelf = entries.shelf
    entry = Entry.load(entries.path())
    shared = shelf.shared(entry)
    entries.change_trace(lambda arrays: change(arrays, shared))
    assert words in problems(entries)


def test_a_trace_that_is_gone_or_damaged_is_found(entries):
    trace = entries.path().with_suffix(".npz")
    trace.write_bytes(trace.read_bytes()[:-100])
    assert "with SHA-256" in problems(entries)
    trace.unlink()
    assert "found no such file" in problems(entries)


def test_a_pickle_in_a_trace_is_not_opened(entries):
    path = entries.path().with_suffix(".npz")
    np.savez(path, prediction=np.array([print], dtype=object))
    entries.change("trace.sha256", file_sha256(path))
    assert "is no whole trace: Object arrays cannot be loaded" in problems(entries)


def test_labels_of_a_stream_are_those_that_were_looked_at(entries):
    for path in (entries.root / "digits_c" / "_known").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "trace: expected" in problems(entries)


def test_without_a_trace_an_entry_is_not_verifiable_but_right(entries):
    entries.change("trace", None)
    entries.path().with_suffix(".npz").unlink()
    assert problems(entries) == ""
    entries.change("result.error_by_domain.haze-5", 11.0)
    assert "the domains are not those of the stream" in problems(entries)


def test_a_linked_trace_is_verified_once_it_was_fetched(entries):
    entries.change("trace.link", "https://example.org/a.npz")
    trace = entries.path().with_suffix(".npz")
    away = trace.rename(trace.with_suffix(".away"))
    found, _ = entries.shelf.read(entries.path())
    assert found[0].unverified == "not verified here" and problems(entries) == ""
    away.rename(trace)
    entries.change("result.metrics.nll", 0.1)
    assert "result.metrics.nll" in problems(entries)


def test_far_better_than_published_is_a_question(many):
    path = many.path("tent")
    entry = Entry.load(path)
    many.change("result.metrics.error_pct", 3.0, path=path)
    assert "result.metrics.error_pct: question: 3.00 is far below the best published, 8.77" in (
        problems(many, path=path)
    )
    assert entry.result.metrics["error_pct"] > 0.7 * 8.77


def test_a_run_that_is_there_twice_is_found(entries):
    other = entries.path().with_name(f"{'1' * 64}.json")
    shutil.copy(entries.path(), other)
    shutil.copy(entries.path().with_suffix(".npz"), other.with_suffix(".npz"))
    entries.change("result.identity", "1" * 64, path=other)
    assert "result.seeds: the same run as digits_c/norm/" in problems(entries, path=entries.root)
    shelf = entries.shelf
    (new,), _ = shelf.read(entries.path())
    (problem,) = Check(shelf).check([new], shelf.read()[0])
    assert problem.where == new.where and other.name in problem.text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("result.config.method.statistics", "x", "expected 'batch', as composed, got 'x'"),
        ("result.config.dataset.severity", 3, "result.config.dataset.severity: expected 5"),
        ("result.config.stream.more", 3, "result.config.stream.more: no such key"),
        ("result.method.target", "os.system", "result.method.target: expected ctta.methods.norm"),
        ("result.method.version", 9, "result.method.version: the installed method has 1, got 9"),
        ("rerun.overrides", {"stream.seed": 5}, "result.config.stream.seed: expected 5"),
        ("rerun.overrides", {"stream.nothing": 5}, "rerun: cannot be composed here"),
        ("rerun.stream", "nothing", "stream=nothing is not installed"),
        ("result.artefact", {"sha256": "0", "seconds": 1.0, "n_images": 1}, "result.identity: exp"),
    ],
)
def test_what_does_not_follow_from_the_installed_configuration_is_found(
    entries, field, value, words
):
    entries.change(field, value)
    assert words in problems(entries, composed=True)


def test_the_installed_configuration_gives_the_entry(many):
    for method in ("norm", "eata"):
        assert problems(many, path=many.path(method), composed=True) == ""
    path = many.path("eata")
    values = json.loads(path.read_text())
    values["result"]["method"]["target"] = "ctta.methods.rmt.RMT"
    path.write_text(json.dumps(values))
    assert "result.method.target" in problems(many, path=path, composed=True)


def test_code_of_a_plugin_is_run_only_where_that_is_allowed(entries, monkeypatch):
    entry = Entry.load(entries.path())
    made = Installed({}, {"method=theirs": "their_package"})
    (problem,) = leaderboard.run_again(entry, made, frozenset({"another"}))
    assert problem[0] == "rerun.method" and "--allow-plugin their_package" in problem[1]
    ran = []
    verdict = Verdict(same_bits=False, largest_pct=3.0, differs={"code": ["method: 1 -> 2"]})
    monkeypatch.setattr("ctta.results.rerun.run_again", lambda *_: ran.append(1) or verdict)
    (problem,) = leaderboard.run_again(entry, made, frozenset({"their_package"}))
    assert ran and problem[0] == "rerun"
    assert (
        problem[1] == "different numbers: up to 3.00 points of error; code differs: method: 1 -> 2"
    )
