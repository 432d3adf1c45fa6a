"""What an entry may not be: each refusal names the field, and nothing is executed."""

import json

import pytest

from ctta.leaderboard.entry import Entry, shown_config
from ctta.leaderboard.shelf import Shelf


def refused(entries) -> str:
    found, problems = entries.shelf.read(entries.path())
    assert not found
    return "\n".join(map(str, problems))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (
            "result.config.method._target_",
            "os.system",
            "result.config.method._target_: expected no",
        ),
        ("result.config._partial_", True, "result.config._partial_: expected no key"),
        ("result.environment._target_", "os.system", "result.environment._target_"),
        ("hardware", "${oc.env:HOME}", "hardware: expected a value, got an interpolation"),
        ("rerun.overrides", {"seed": "${oc.env:HOME}"}, "rerun.overrides.seed: expected a value"),
        ("result.model.source", "/etc/passwd", "result.model.source: expected no path"),
        ("result.model.source", "~/weights.pt", "result.model.source: expected no path"),
        ("result.model.source", "a/../../b", "result.model.source: expected no path"),
        ("result.model.source", "file:///etc/passwd", "result.model.source: expected no path"),
        ("rerun.overrides", {"paths.data": "x"}, "'paths.data': expected a key under"),
        ("rerun.overrides", {"dataset.root": "x"}, "'dataset.root': a place of files"),
        ("rerun.overrides", {"model.weights": "x"}, "'model.weights': a place of files"),
        ("rerun.overrides", {"model.target": "os.system"}, "'model.target': a place of files"),
        ("rerun.overrides", {"dataset.base": "a/b"}, "'dataset.base': a place of files"),
        ("rerun.overrides", {"method._target_": "os"}, "rerun.overrides.method._target_"[:15]),
        ("rerun.overrides", {"+method.x": 1}, "'+method.x': expected a key under"),
        ("rerun.overrides", {"hydra.run.dir": "x"}, "'hydra.run.dir': expected a key under"),
        ("rerun.overrides", {"stream.seed": "1,2"}, "expected a number or a word"),
        ("rerun.overrides", {"stream.seed": "a b"}, "expected a number or a word"),
        ("rerun.overrides", {"stream.seed": [1]}, "rerun.overrides.stream.seed"),
        ("rerun.method", "tent,norm", "rerun.method: String should match"),
        ("rerun.method", "../tent", "rerun.method: expected no path"),
        ("rerun.method", "null.x", "rerun.method: String should match"),
        ("paper", "javascript:alert(1)", "paper: String should match"),
        ("paper", "http://example.org", "paper: String should match"),
        ("code", 'https://example.org/"onclick', "code: String should match"),
        ("authors", [], "authors: List should have at least 1"),
        ("authors", ["a\u202eb"], "authors.0: expected printable text"),
        ("authors", ["a\x1b[2J"], "authors.0: expected printable text"),
        ("authors", "me", "authors: Input should be a valid list"),
        ("tuning.kind", "secret", "tuning.kind: Input should be"),
        ("trace.sha256", "x", "trace.sha256: String should match"),
        (
            "result.metrics.error_pct",
            "12",
            "result.metrics.error_pct: Input should be a valid number",
        ),
        ("result.costs.adapt_seconds", 1e999, "is no number"),
        ("result.status", "failed", "result.status: expected finished"),
        ("result.costs", None, "result.costs.samples_per_second: expected more than 0"),
        ("result.model.weights_sha256", [1], "result.model.weights_sha256: expected a hash"),
        ("result.config.stream", 3, "result.config.stream: expected dict"),
        ("result.seeds", {}, "result.seeds.method: expected a number"),
        ("result.schema_version", 2, "result.schema_version: Input should be 1"),
        ("schema_version", 2, "schema_version: expected 1, got 2"),
        ("new_field", 1, "new_field: Extra inputs are not permitted"),
    ],
)
def test_is_refused_with_its_field(entries, field, value, words):
    entries.change(field, value) if field != "new_field" else add_field(entries)
    assert words in refused(entries)


def add_field(entries):
    values = json.loads(entries.path().read_text())
    entries.path().write_text(json.dumps({**values, "new_field": 1}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "schema_version: expected 1"),
        ("[" * 100_000, "is not JSON"),
        ('{"schema_version": 1, "schema_version": 1}', "comes twice"),
        ('{"schema_version": 1e999}', "schema_version: expected 1"),
        ('{"schema_version": 1, "x": 1e999}', "x: expected a finite number"),
        ('{"schema_version": 1}', "authors: Field required"),
        ("\xff", "cannot be read"),
        (" " * 1_000_001, "expected at most 1000000 bytes"),
    ],
)
def test_a_broken_file_is_refused(entries, text, words):
    entries.path().write_bytes(text.encode("latin-1"))
    assert words in refused(entries)


def test_a_problem_has_one_line_whatever_the_keys_are(entries):
    entries.change("result.environment", {"a\n\x1b[2J_": "${x}"})
    (line,) = refused(entries).splitlines()
    assert line.isprintable() and "\\x1b" in line


def test_what_is_read_is_what_was_written(entries):
    text = entries.path().read_text()
    entry = Entry.from_json(text, where="x")
    assert entry.to_json() == text
    assert entries.root / entry.place == entries.path()


def test_a_shown_configuration_names_no_code():
    node = {"_target_": "a.b", "x": [{"_partial_": True, "y": 1}]}
    config = {key: {} for key in ("seed", "online", "compute", "dataset", "stream", "model")}
    assert shown_config({**config, "method": node, "names": {}})["method"] == {"x": [{"y": 1}]}


def test_a_folder_elsewhere_is_refused(entries, tmp_path):
    with pytest.raises(ValueError, match="is not in"):
        list(entries.shelf.files(tmp_path))
    with pytest.raises(ValueError, match="no such place"):
        list(Shelf(tmp_path / "nothing").files())
