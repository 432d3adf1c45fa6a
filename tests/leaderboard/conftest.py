"""Folders of entries to damage."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctta.leaderboard.board import sections
from ctta.leaderboard.shelf import Filed, Shelf
from ctta.leaderboard.shipped import file_sha256, write_arrays

SHIPPED = Path(__file__).parents[2] / "leaderboard" / "entries"


class Copy:
    """Some of the shipped entries in a folder of their own."""

    def __init__(self, root: Path, *methods: str):
        self.root = root
        shutil.copytree(SHIPPED / "digits_c" / "_known", root / "digits_c" / "_known")
        for method in methods:
            shutil.copytree(SHIPPED / "digits_c" / method, root / "digits_c" / method)

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


def another(filed: Filed, number: int) -> Filed:
    """The entry of a run with one more setting, over the same trace."""
    result = filed.entry.result
    config = {**result.config, "method": {**result.config["method"], "number": number}}
    identity = hashlib.sha256(f"{result.identity}{number}".encode()).hexdigest()
    result = result.model_copy(update={"config": config, "identity": identity})
    entry = filed.entry.model_copy(update={"result": result})
    return replace(filed, where=entry.place.as_posix(), entry=entry)


class ManyRows(Shelf):
    """The shipped folder, with rows of a benchmark's setting copied until there are enough."""

    def __init__(self):
        super().__init__(SHIPPED)
        self.read_already = {}

    def trace(self, filed, known):
        if filed.path not in self.read_already:
            self.read_already[filed.path] = super().trace(filed, known)
        return self.read_already[filed.path]

    def section(self, benchmark, setting, n_rows):
        own = [f for f in self.read(self.root / benchmark)[0] if f.entry.rerun.stream == setting]
        rows = {f.entry.rerun.method: [] for f in own}
        for filed in own:
            rows[filed.entry.rerun.method].append(filed)
        copies = [
            another(filed, number)
            for number in range(n_rows)
            for filed in list(rows.values())[number % len(rows)]
        ]
        (found,) = sections(self, copies)
        return found


@pytest.fixture
def many_rows():
    return ManyRows()
