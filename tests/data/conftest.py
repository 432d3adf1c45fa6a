"""The tests of this folder share `miniature` and a local server."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def server(monkeypatch):
    """A local server; nothing goes through a proxy."""
    from served import Server

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("CTTA_OFFLINE", raising=False)
    local = Server()
    yield local
    local.close()
