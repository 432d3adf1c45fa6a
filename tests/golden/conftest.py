"""``--golden-dir DIR`` replays another golden set than the slim one beside the tests,
``--golden-device cuda`` on another device than the host."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SKIPPED = pytest.StashKey[dict]()


def pytest_addoption(parser):
    parser.addoption("--golden-dir", help="a folder of golden files: <method>/<anything>.npz")
    parser.addoption("--golden-device", default="cpu", help="where it is replayed: cpu or cuda")


def pytest_configure(config):
    config.stash[SKIPPED] = {}


@pytest.fixture
def note_skipped(request):
    """Call it with (file, names) of what could not be compared; the summary lists them."""
    return request.config.stash.setdefault(SKIPPED, {}).__setitem__


def pytest_terminal_summary(terminalreporter, config):
    skipped = config.stash.get(SKIPPED, {})
    if skipped:
        terminalreporter.section("golden: quantities that the code does not expose")
        for file, names in skipped.items():
            terminalreporter.write_line(f"{file}: {', '.join(names)}")
