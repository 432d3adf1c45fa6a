"""The tests of the plug-ins beside this file run as if each was installed."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(project.parent) for project in sorted(HERE.glob("*/pyproject.toml"))]


@pytest.fixture(autouse=True)
def installed(request, install):
    """The plug-in that the test belongs to."""
    install(HERE / request.path.relative_to(HERE).parts[0])
