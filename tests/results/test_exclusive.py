"""Runs that overlap know of each other; dead ones do not count."""

import os
import signal

import pytest

from ctta.results.exclusive import RunWatch

OTHER = """
import sys
from pathlib import Path
from ctta.results.exclusive import RunWatch

with RunWatch(Path(sys.argv[1])) as watch:
    print("ready", flush=True)
    sys.stdin.readline()
    print(watch.exclusive(), flush=True)
"""


@pytest.fixture
def other(process, tmp_path):
    """Start another process that is being watched; returns it."""
    return lambda: process(OTHER, tmp_path)


def test_a_run_alone_is_exclusive_and_leaves_nothing(tmp_path):
    for _ in range(2):
        with RunWatch(tmp_path) as watch:
            assert watch.exclusive() is True
    assert list((tmp_path / "running").iterdir()) == []


def test_both_of_two_know(tmp_path, other):
    process = other()
    with RunWatch(tmp_path) as watch:
        assert watch.exclusive() is False
    out, _ = process.communicate("\n")
    assert out == "False\n"  # although the second one is over


def test_one_that_came_and_went_is_known(tmp_path, other):
    with RunWatch(tmp_path) as watch:
        assert watch.exclusive() is True
        process = other()
        process.communicate("\n")
        assert watch.exclusive() is False


def test_a_killed_run_does_not_count_and_is_cleared_away(tmp_path, other):
    process = other()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "running").iterdir())) == 1
    with RunWatch(tmp_path) as watch:
        assert watch.exclusive() is True
        assert len(list((tmp_path / "running").iterdir())) == 1  # its own
    assert list((tmp_path / "running").iterdir()) == []


def test_other_machines_that_share_the_folder_do_not_count(tmp_path, monkeypatch):
    with RunWatch(tmp_path) as watch, monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "elsewhere")
        with RunWatch(tmp_path) as far:
            assert far.exclusive() is True
        assert watch.exclusive() is True


def test_a_folder_that_cannot_be_written_to_is_no_failure(tmp_path):
    (tmp_path / "running").write_text("in the way")
    with RunWatch(tmp_path) as watch:
        assert watch.exclusive() is None


def test_an_error_inside_comes_out_and_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), RunWatch(tmp_path):
        raise KeyError
    assert list((tmp_path / "running").iterdir()) == []
