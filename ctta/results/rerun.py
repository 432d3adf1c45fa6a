"""A record run again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

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
    data = os.environ.get("CTTA_DATA") or then.config["paths"].get("data")
    paths = {"cache": None, "runs": None, "data": data}
    config = {**then.config, "paths": paths, "tracking": {"name": "none"}}
    with tempfile.TemporaryDirectory() as folder:
        return compare(then, Experiment(config).run(RunStore(Path(folder))))
