"""Several runs summed up: a table and two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement

from ctta.online.trace import Trace
from ctta.places import saving
from ctta.results.pictures import error_over_stream, error_per_corruption
from ctta.results.result import Result
from ctta.results.store import RunStore
from ctta.results.table import rich_table

MAX_TABLE_WIDTH = 1000


def summarise_runs(results: Sequence[Result], root: Path, console: Console) -> None:
    """Print the table and draw the two pictures into the folder of the runs."""
    store = RunStore(root)
    table = rich_table(results)
    # A narrow terminal wraps long lines; a table made for its width would lack numbers.
    wide = console.options.update(width=MAX_TABLE_WIDTH)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table)
    folders = [
        store.folder(r.method.name, r.config["names"]["dataset"], r.identity) for r in results
    ]
    traces = [Trace.load(folder / "trace.npz") for folder in folders]
    with saving(root, "CTTA_RUNS"):
        pictures = (
            error_per_corruption(results, root / "error_per_corruption.png"),
            error_over_stream(results, traces, root / "error_over_stream.png"),
        )
    for path in pictures:
        console.print(f"picture: {path}", highlight=False)
    console.print(f"results: {root}/*/result.json", highlight=False)
