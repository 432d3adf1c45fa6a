"""`ctta check` reads every line out, for built-in methods, plug-ins and folders of YAML files."""

import shutil
import sys
from pathlib import Path

import pytest

from ctta.testing import LINES

PLUGINS = Path(__file__).parent / "plugins"


FEW = ("shapes", "predict_is_pure", "batch_unchanged")


@pytest.fixture
def few(monkeypatch):
    """Three lines are enough to see what becomes of them."""
    monkeypatch.setattr("ctta.testing.contract.LINES", {name: LINES[name] for name in FEW})


def test_every_line_is_read_out_with_what_it_is_for(ctta, few):
    status, out, err = ctta("check", "norm")
    assert status == 0, err
    for name in FEW:
        assert f"ok     {name}: {LINES[name].meaning}" in out
        assert f"without it: {LINES[name].at_stake}" in out
    assert f"norm: all {len(FEW)} lines hold" in out


def test_a_broken_line_is_named_and_the_others_are_read(ctta, few, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(PLUGINS / "bad")
    folder = tmp_path / "conf" / "method"
    folder.mkdir(parents=True)
    (folder / "restless.yaml").write_text("_target_: methods.PredictIsPure\n")
    status, out, err = ctta("check", "restless", "--config-dir", "conf")
    assert status == 1
    assert "FAILED predict_is_pure" in out
    assert "found: over tiny-cnn, predict moved 'n_asked'" in out
    assert out.count("ok    ") == len(FEW) - 1
    assert "restless: 1 of 3 lines do not hold: predict_is_pure" in err
    sys.modules.pop("methods", None)


def test_an_installed_plugin_with_its_tuned_values(ctta, few, install):
    install(PLUGINS / "t3a")
    assert ctta("check", "t3a")[0] == 0
    status, _, err = ctta("check", "t3a", "dataset=corrupted", "dataset.base=digits_c")
    assert status == 1
    assert "method.max_supports=... (method=t3a of the plug-in 't3a')" in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "expected a method first"),
        (["nothing"], "nothing"),
        (["tent", "method.rate=1"], "rate"),
        (["tent", "optimizer.lr=-1"], "lr"),
        (["cotta", "method.n_views=0"], "n_views"),
    ],
)
def test_mistakes_get_one_clear_line(ctta, few, arguments, word):
    status, out, err = ctta("check", *arguments)
    assert status != 0
    assert word in err
    assert "Traceback" not in out + err


def test_it_runs_without_the_data_of_a_run(ctta, few, tmp_path):
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    assert ctta("check", "source", "dataset=imagenet_c")[0] == 0
    assert not (tmp_path / "runs").exists()
