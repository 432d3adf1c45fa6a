"""A record run again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctta.results.compare import Verdict, compare
from ctta.results.result import Result
from ctta.results.run import Experiment
from ctta.results.store import RunStore


def rerun_record(path: Path) -> Verdict:
    """Run the record at ``path`` again, in a folder that is thrown away, and compare.

    Raises:
        ValueError: no record, or one of a failed run.
    """
    then = Result.load(path)
    if then.status != "finished":
        raise ValueError(
            f"{path} records a failed run ({then.reason}); there is nothing to compare"
        )
    return run_again(then, then.config)


def run_again(then: Result, config: Mapping[str, Any]) -> Verdict:
    """Run ``config``, which is that of ``then``, in a folder that is thrown away, and compare.

    Raises:
        ValueError: whatever stopped the run.
    """
    data = os.environ.get("CTTA_DATA") or config["paths"].get("data")
    paths = {"cache": None, "runs": None, "data": data}
    config = {**config, "paths": paths, "tracking": {"name": "none"}}
    with tempfile.TemporaryDirectory() as folder:
        return compare(then, Experiment(config).run(RunStore(Path(folder))))
