"""What the page's pictures are made from, and how its panels are named."""

import numpy as np
import pytest

from ctta.leaderboard.along import Segment, error_in_parts, n_parts, segments
from ctta.leaderboard.board import board
from ctta.leaderboard.page_data import name_panels, page_data, shared_by_all, slug


def test_segments_of_several_domains_have_no_name():
    shared = {
        "segment": np.array([0, 0, 1, 1, 2], np.uint8),
        "domain": np.array([0, 0, 0, 1, 1], np.uint8),
        "domain_names": np.array(["fog-5", "snow-5"]),
    }
    assert segments(shared) == [Segment(0.0, "fog-5"), Segment(0.4, ""), Segment(0.8, "snow-5")]


@pytest.mark.parametrize(("n", "parts"), [(1, 60), (15, 60), (16, 64), (45, 90), (135, 135)])
def test_segments_are_made_of_whole_parts(n, parts):
    assert n_parts(n) == parts


def test_there_are_never_too_many_parts():
    assert n_parts(151) == n_parts(10_000) == 150


def test_the_error_in_parts_is_that_of_their_samples():
    own = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    assert error_in_parts(own, 2).tolist() == [50.0, pytest.approx(200 / 3)]
    assert error_in_parts(own, 7).tolist() == [100, 100, 0, 0, 100, 0, 100]
    assert np.isnan(error_in_parts(own, 14)).sum() == 7


def test_panels_are_named_by_what_tells_them_apart():
    def panel(setting, model):
        return {"benchmark": "digits_c", "setting": setting, "model": model}

    panels = [panel(*words) for words in (("a", "x"), ("a", "y"), ("a", "y"), ("b", "x"))]
    panels += [panel("a", None), panel("c (d)", None), panel("c d", None)]
    name_panels(panels)
    assert [own["name"] for own in panels] == [
        *("a, x", "a, y", "a, y 2", "b", "a, published", "c (d)", "c d"),
    ]
    addresses = [own["id"] for own in panels]
    assert addresses[:3] == ["digits_c/a-x", "digits_c/a-y", "digits_c/a-y-2"]
    assert len(set(addresses)) == len(panels) and addresses[-2] == "digits_c/c-d"


def test_rows_and_runs_have_the_marks_of_their_traces(many):
    first = many.path("tent")
    many.change("trace", None, path=first)
    for path in many.path("source").parent.glob("*.json"):
        many.change("trace.link", "https://example.org/a.npz", path=path)
        path.with_suffix(".npz").unlink()
    panel = page_data(board(many.shelf), many.shelf, "x")["panels"][0]
    rows = {row["name"]: row for row in panel["rows"] if "id" in row}
    assert {name: row["marks"] for name, row in rows.items()} == {
        "tent": ["not verifiable"],
        "norm": ["control"],
        "source": ["control", "not verified here"],
        "eata": [],
    }
    assert [name for name, row in rows.items() if not row["verified"]] == ["tent", "source"]
    assert rows["source"]["label"] == "source (control, not verified here)"
    marks = {run["identity"]: run["unverified"] for run in rows["tent"]["runs"]}
    assert marks.pop(first.stem) == "not verifiable" and set(marks.values()) == {""}
    assert rows["source"]["along"] is None and rows["tent"]["along"]


def test_an_address_is_plain():
    assert slug("recurring, correlated (RoTTA form, 0.1)") == "recurring-correlated-rotta-form-0-1"


def test_what_all_rows_have_is_told_apart_by_type():
    found = shared_by_all([{"a": 1, "b": True, "c": None}, {"a": 1, "b": 1, "c": None}])
    assert found == {"a": 1, "c": None}
