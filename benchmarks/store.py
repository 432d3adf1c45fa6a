"""The run store with thousands of runs: how long a command takes, and what a run's entry costs.

    python benchmarks/store.py [--runs 2000] [--json DIR]

Wall seconds; commands are whole processes.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from timing import write

from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.results.index import INDEX, RunIndex
from ctta.results.result import Result
from ctta.results.store import RunStore

QUICK = ["dataset.n_images=32", "stream.batch_size=16", "progress=false"]


def a_record(root: Path) -> dict[str, Any]:
    """Of a real run, so that it has a real one's size."""
    command = [sys.executable, "-m", "ctta", "run", "method=tent", *QUICK, f"paths.runs={root}"]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = root.glob("*/result.json")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def filled(root: Path, record: dict[str, Any], n_runs: int) -> float:
    """Keep ``n_runs``; seconds for each."""
    store = RunStore(root)
    samples = {name: np.zeros(480, dtype) for name, dtype in SAMPLE_COLUMNS.items()}
    batches = {name: np.zeros(30, dtype) for name, dtype in BATCH_COLUMNS.items()}
    trace = Trace(samples, batches, ("fog-5",), 10)
    record = copy.deepcopy(record) | {"trace_sha256": trace.sha256()}
    start = time.perf_counter()
    for number in range(n_runs):
        record["identity"] = f"{number:012x}" + "0" * 52
        record["seeds"]["method"] = record["config"]["seed"] = number
        result = Result.model_validate(record)
        store.keep(store.folder("tent", "digits_c", result.identity), result, trace)
    return (time.perf_counter() - start) / n_runs


def command(root: Path, *arguments: str) -> float:
    """Seconds of `ctta runs ...`, start of Python included: the best of three."""
    environment = {**os.environ, "CTTA_RUNS": str(root)}
    whole = [sys.executable, "-m", "ctta", "runs", *arguments]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(whole, check=False, capture_output=True, env=environment)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        record = a_record(Path(temporary) / "one")
        root = Path(temporary) / "runs"
        rows = [{"what": "keep a run", "seconds": filled(root, record, options.runs)}]
        start = time.perf_counter()
        RunIndex(root).add(f"tent-digits_c-{0:012x}")
        rows.append({"what": "of that its entry", "seconds": time.perf_counter() - start})
        first = f"tent-digits_c-{0:012x}"
        for what, arguments in (
            ("list", ["list"]),
            ("list --json", ["list", "--json"]),
            ("list seed=7 optimizer.lr=0.01", ["list", "seed=7", "optimizer.lr=0.01"]),
            ("show", ["show", first]),
            ("gc", ["gc"]),
        ):
            rows.append({"what": what, "seconds": command(root, *arguments)})
        (root / INDEX).unlink()
        start = time.perf_counter()
        assert len(RunIndex(root).refresh()) == options.runs
        rows.append({"what": "make the index anew", "seconds": time.perf_counter() - start})
    print(f"{options.runs} runs")
    for row in rows:
        print(f"{row['what']:32}{row['seconds']:9.4f} s")
    write("store", rows, options.json)


if __name__ == "__main__":
    main()
