"""The Python in README runs as it stands there."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_python_blocks_run(number, monkeypatch, digits_cache, capsys):
    monkeypatch.setenv("CTTA_CACHE", str(digits_cache))
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), {})
    assert "{" in capsys.readouterr().out


def test_there_are_no_other_blocks():
    assert len(BLOCKS) == 2
