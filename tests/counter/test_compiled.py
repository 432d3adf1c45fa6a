"""Where compiled functions are kept."""

from pathlib import Path

import numba
import pytest

from ctta.counter import compiled


def test_an_edit_beside_a_compiled_function_moves_what_is_kept(tmp_path):
    (tmp_path / "kernel.py").write_text("calls()")
    (tmp_path / "called.py").write_text("HALF = 2")
    before = compiled.kept_in(tmp_path)
    compiled.kept_in.cache_clear()
    assert compiled.kept_in(tmp_path) == before
    (tmp_path / "called.py").write_text("HALF = 3")
    compiled.kept_in.cache_clear()
    assert compiled.kept_in(tmp_path) != before


@pytest.mark.parametrize("outer", ["", "elsewhere"])
def test_functions_are_kept_there_and_the_setting_is_as_before(monkeypatch, tmp_path, outer):
    outer = outer and str(tmp_path / outer)
    monkeypatch.setattr(numba.config, "CACHE_DIR", outer)
    function = compiled.for_cpu(_add)
    place = compiled.kept_in(Path(__file__).parent, outer)
    assert Path(function.stats.cache_path).parent == place
    assert place.is_relative_to(outer or Path(__file__).parent)
    assert outer == numba.config.CACHE_DIR


def _add(a, b):
    return a + b
