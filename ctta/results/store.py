"""One folder a run, named by what it is."""

from __future__ import annotations

from pathlib import Path

import yaml

from ctta.online.trace import Trace
from ctta.places import writable
from ctta.results.result import Result, write_text


class RunStore:
    """Folders ``<method>-<dataset>-<identity>`` with config.yaml, result.json and trace.npz.

    Args:
        root: the folder of all runs.

    Raises:
        ValueError: ``root`` cannot be made or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = writable(root, "CTTA_RUNS")

    def folder(self, method: str, dataset: str, identity: str) -> Path:
        """Where the run of this identity lives."""
        return self.root / f"{method}-{dataset}-{identity[:12]}"

    def finished(self, folder: Path) -> Result | None:
        """The record of a finished run, or None; a damaged one counts as none."""
        try:
            result = Result.load(folder / "result.json")
            trace = Trace.load(folder / "trace.npz")
        except ValueError:
            return None
        whole = result.status == "finished" and trace.sha256() == result.trace_sha256
        return result if whole else None

    def keep(self, folder: Path, result: Result, trace: Trace | None) -> None:
        """Write a run; ``result.json`` last, so that a run with one is whole."""
        writable(folder, "CTTA_RUNS")
        write_text(folder / "config.yaml", yaml.safe_dump(result.config, sort_keys=False))
        if trace is not None:
            trace.save(folder / "trace.npz")
        result.save(folder / "result.json")
