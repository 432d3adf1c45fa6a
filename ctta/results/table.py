"""Several runs side by side: methods in rows, domains in columns, error in %."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ctta.assets import asset_dir
from ctta.results.result import Result


def row_names(results: Sequence[Result]) -> list[str]:
    """A name for each run: the method, and the keys that tell runs of one method apart."""
    keys: dict[str, Callable[[Result], Any]] = {
        "stream": lambda r: r.config["names"]["stream"],
        "model": lambda r: r.config["names"]["model"],
        "stream.seed": lambda r: r.seeds["stream"],
        "seed": lambda r: r.seeds["method"],
        "lr": lambda r: r.config["optimizer"]["lr"],
    }
    varying = [key for key, read in keys.items() if len({read(r) for r in results}) > 1]
    varying = [k for k in varying if k != "lr" or len({r.method.name for r in results}) == 1]
    return [
        " ".join([r.method.name, *(f"{key}={keys[key](r)}" for key in varying)]) for r in results
    ]


def columns(results: Sequence[Result]) -> list[str]:
    """Domain names in the order in which the runs meet them."""
    return list(dict.fromkeys(name for r in results for name in r.error_by_domain))


def notes(results: Sequence[Result]) -> list[str]:
    """What a reader must know to compare: values that are not the published ones."""
    found = []
    for result in results:
        used, published = result.config["method"].get("n_views"), published_views(result)
        if published is not None and used != published:
            found.append(f"{result.method.name} with {used} views (published: {published})")
        for deviation in result.model.get("deviations", []):
            found.append(f"{result.method.name} is no reproduction: {deviation}")
    return found


def published_views(result: Result) -> int | None:
    """Augmented views of the method's paper, as its configuration says; None: it has none."""
    path = asset_dir("configs") / "method" / f"{result.method.name}.yaml"
    if not path.is_file():
        return None
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    views: int | None = node.get("n_views")
    return views


def rich_table(results: Sequence[Result]) -> Table:
    """For a terminal of 100 columns; domain names are cut to their first letters."""
    caption = "; ".join(dict.fromkeys(notes(results))) or None
    table = Table(title="Error in %", caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    names = columns(results)
    for name in names:
        table.add_column(short(name)[:4], justify="right", no_wrap=True)
    table.add_column("mean", justify="right", style="bold", no_wrap=True)
    for label, result in zip(row_names(results), results, strict=True):
        table.add_row(label, *cells(result, names))
    return table


def markdown_table(results: Sequence[Result]) -> str:
    """For a README."""
    names = columns(results)
    rows = [["method", *map(short, names), "mean"], ["---", *["---:"] * (len(names) + 1)]]
    for label, result in zip(row_names(results), results, strict=True):
        rows.append([label, *cells(result, names)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, *[f"\n{note}" for note in dict.fromkeys(notes(results))]])


def cells(result: Result, names: Sequence[str]) -> list[str]:
    """The errors of one run, and their mean."""
    errors = [result.error_by_domain.get(name) for name in names]
    values = [*errors, result.metrics["error_pct"]]
    return ["" if value is None else f"{value:.1f}" for value in values]


def short(domain: str) -> str:
    """``gaussian_noise-5`` as ``gaussian noise``; other severities keep their number."""
    corruption, _, severity = domain.rpartition("-")
    return corruption.replace("_", " ") + ("" if severity == "5" else f" {severity}")
