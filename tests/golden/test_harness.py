"""The harness itself: what it refuses, and that a wrong number turns a file red."""

import json
from pathlib import Path

import numpy as np
import pytest
from harness import method_class, read_case, replay
from views import RefusedError

ADAM = Path(__file__).parents[1] / "golden_data" / "tent" / "adam.npz"


@pytest.fixture
def changed(tmp_path):
    """Writes the file again with another spec or other arrays."""

    def change(spec=None, **arrays):
        file = dict(np.load(ADAM))
        meta = json.loads(str(file["meta"]))
        meta["spec"] |= spec or {}
        out = tmp_path / "any.npz"
        np.savez_compressed(out, **{**file, **arrays, "meta": json.dumps(meta)})
        return out

    return change


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"spec": 2}, "spec.spec"),
        ({"temperature": 1}, "temperature"),
        ({"dtype": "float16"}, "float16"),
        ({"mode": {"batch_norm": "odd"}}, "odd"),
        ({"arguments": {"sharpness": 1}}, "sharpness"),
        ({"model": {"name": "big-cnn"}}, "big-cnn"),
        ({"trained_parameters": "most"}, "most"),
        ({"views": {"rule": "spin", "count": 1, "restart": "step"}}, "spin"),
        ({"views": {"rule": "hflip", "count": 1, "restart": "step"}}, "draws no views"),
        ({"restore_mask": "all"}, "restores nothing"),
        ({"compare": {"logitz": {"atol": 0, "rtol": 0}}}, "logitz"),
        ({"start": {"student": "init", "tail": "init"}}, "tail"),
        ({"survives_reset": ["hats"]}, "hats"),
    ],
)
def test_what_is_unknown_is_refused_by_name(changed, spec, named):
    with pytest.raises(RefusedError, match=named):
        replay(read_case(changed(spec)), method_class("tent"))


def test_a_wrong_number_fails_and_is_named(changed):
    logits = np.load(ADAM)["logits"]
    logits[3, 2, 1] += 1e-6
    report = replay(read_case(changed(logits=logits)), method_class("tent"))
    assert [line.split(":")[0] for line in report.failures] == ["logits"]


def test_nan_in_the_file_is_no_value(changed):
    logits = np.load(ADAM)["logits"]
    logits[3, 2, 1] = np.nan
    assert not replay(read_case(changed(logits=logits)), method_class("tent")).failures


def test_a_known_difference_must_differ(changed):
    fault = {"known_difference": "a fault", "defect": "shared_optimizer_moments"}
    report = replay(read_case(changed(fault)), method_class("tent"))
    assert report.failures == ["logits: agree with a record that has a known fault"]
    wrong = np.load(ADAM)["logits"] + 1
    assert not replay(read_case(changed(fault, logits=wrong)), method_class("tent")).failures


def test_an_unknown_method_is_not_covered():
    assert method_class("no_such_method") is None


def test_what_survives_a_reset_is_compared_with_the_class(changed):
    file = changed({"reset": "official", "survives_reset": ["optimizer"]})
    with pytest.raises(AssertionError, match=r"survives a reset: \[\], expected: \['optimizer'\]"):
        replay(read_case(file), method_class("tent"))
