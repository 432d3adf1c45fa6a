"""Folders of entries to damage."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ctta.leaderboard.shelf import Shelf
from ctta.leaderboard.shipped import file_sha256, write_arrays

SHIPPED = Path(__file__).parents[2] / "leaderboard" / "entries"


class Copy:
    """Some of the shipped entries in a folder of their own: the continual setting, three orders."""

    def __init__(self, root: Path, *methods: str):
        self.root = root
        streams = set()
        for method in methods:
            (root / "digits_c" / method).mkdir(parents=True)
            for path in (SHIPPED / "digits_c" / method).glob("*.json"):
                values = json.loads(path.read_text())
                order = values["result"]["seeds"]["stream"]
                if values["rerun"]["stream"] == "continual" and order < 3:
                    streams.add(values["result"]["stream"]["stream_sha256"])
                    for file in (path, path.with_suffix(".npz")):
                        shutil.copy(file, root / "digits_c" / method)
        known = root / "digits_c" / "_known"
        known.mkdir()
        for name in ("hashes.json", *(f"{stream}.npz" for stream in streams)):
            shutil.copy(SHIPPED / "digits_c" / "_known" / name, known)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.root)

    def path(self, method="norm", number=0) -> Path:
        return sorted((self.root / "digits_c" / method).glob("*.json"))[number]

    def change(self, field, value, *, path=None):
        """Set a field of an entry by its path with dots."""
        path = path or self.path()
        values = json.loads(path.read_text())
        node = values
        *parents, last = field.split(".")
        for parent in parents:
            node = node[int(parent) if isinstance(node, list) else parent]
        node[last] = value(node[last]) if callable(value) else value
        path.write_text(json.dumps(values))

    def change_trace(self, change):
        """Change the arrays of an entry's trace, and the hash with them."""
        path = self.path().with_suffix(".npz")
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        change(arrays)
        write_arrays(path, arrays)
        self.change("trace.sha256", file_sha256(path))


@pytest.fixture
def entries(tmp_path):
    """A folder with the entries of `norm`."""
    return Copy(tmp_path / "entries", "norm")


@pytest.fixture
def many(tmp_path):
    """A folder with the entries of four methods."""
    return Copy(tmp_path / "entries", "norm", "source", "tent", "eata")


@pytest.fixture
def many_rows():
    """A folder whose sections have as many rows as one asks for."""
    path = Path(__file__).parents[2] / "benchmarks" / "many_rows.py"
    spec = importlib.util.spec_from_file_location("many_rows", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ManyRows()
