"""The tests of this folder share `miniature` and a local server."""

import sys
from pathlib import Path

import pytest

from ctta.locks import making

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


@pytest.fixture(scope="session")
def root(shared_folder):
    """All data sets under one root, to be read only."""
    import miniature

    folder, whole = shared_folder / "data", shared_folder / "data_is_whole"
    with making(whole, "TMPDIR"):
        if not whole.is_file():
            miniature.all_data_sets(folder)
            whole.touch()
    return folder
