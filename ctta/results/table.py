"""Several runs side by side: methods in rows, domains in columns, error in %.

Runs that differ in seeds alone make one row, with the half-width of Student's 95 % interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ctta.assets import asset_dir
from ctta.results.compare import flat
from ctta.results.identity import deciding
from ctta.results.result import Result
from ctta.results.rows import HEADLINE, Row, gather

SEEDS = ("seed", "order_number")


def row_names(rows: Sequence[Row]) -> list[str]:
    """A name for each row: the method, and the keys that tell rows of one method apart."""
    chosen = [row.results[0].config["names"] for row in rows]
    groups = [g for g in ("dataset", "stream", "model") if len({names[g] for names in chosen}) > 1]
    labels = [
        " ".join([row.results[0].method.name, *(f"{g}={names[g]}" for g in groups)])
        for row, names in zip(rows, chosen, strict=True)
    ]
    alike: dict[str, list[dict[str, Any]]] = {}
    settings = [keys(row) for row in rows]
    for label, own in zip(labels, settings, strict=True):
        alike.setdefault(label, []).append(own)
    differing = {label: not_agreed_on(group) for label, group in alike.items()}
    return [
        " ".join([label, *(f"{k}={v}" for k, v in own.items() if k in differing[label])])
        for label, own in zip(labels, settings, strict=True)
    ]


def not_agreed_on(settings: Sequence[dict[str, Any]]) -> set[str]:
    """Keys that have more than one value, or are missing in some."""
    first = settings[0]
    return {
        key
        for other in settings
        for key in first.keys() | other.keys()
        if first.get(key) != other.get(key)
    }


def keys(row: Row) -> dict[str, Any]:
    """What a user can set of a row and is no seed, as it is typed."""
    return {
        key.replace("method.optimizer.", "optimizer."): value
        for key, value in flat(deciding(row.results[0].config)).items()
        if key.rpartition(".")[2] not in SEEDS
    }


def columns(results: Sequence[Result]) -> list[str]:
    """Domain names in the order in which the runs meet them."""
    return list(dict.fromkeys(name for r in results for name in r.error_by_domain))


def notes(results: Sequence[Result]) -> list[str]:
    """What a reader must know to compare: values that are not published, or have seen the test."""
    found = []
    for result in results:
        used, published = (
            result.config["method"].get("n_views"),
            published_views(result.method.name),
        )
        if published is not None and used != published:
            found.append(f"{result.method.name} with {used} views (published: {published})")
        if result.tuning is not None and result.tuning.on_its_own_stream:
            found.append(
                f"{result.method.name}: values chosen on the stream that they are tested on"
            )
        for deviation in result.model.get("deviations", []):
            found.append(f"{result.method.name} is no reproduction: {deviation}")
    return found


@cache
def published_views(method: str) -> int | None:
    """Augmented views of the method's paper, as its configuration says; None: it has none."""
    path = asset_dir("configs") / "method" / f"{method}.yaml"
    if not path.is_file():
        return None
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    views: int | None = node.get("n_views")
    return views


def rich_table(results: Sequence[Result]) -> Table:
    """For a terminal of 100 columns; domain names are cut to their first letters."""
    rows = gather(results)
    caption = "; ".join([*dict.fromkeys(notes(results)), *varied(rows)]) or None
    table = Table(title="Error in %", caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    names = columns(results)
    for name in names:
        table.add_column(short(name)[:4], justify="right", no_wrap=True)
    table.add_column("mean", justify="right", style="bold", no_wrap=True)
    for label, row in zip(row_names(rows), rows, strict=True):
        table.add_row(label, *cells(row, names))
    return table


def markdown_table(results: Sequence[Result]) -> str:
    """For a README."""
    names, rows = columns(results), gather(results)
    lines = [["method", *map(short, names), "mean"], ["---", *["---:"] * (len(names) + 1)]]
    for label, row in zip(row_names(rows), rows, strict=True):
        lines.append([label, *cells(row, names)])
    text = ["| " + " | ".join(line) + " |" for line in lines]
    remarks = [*dict.fromkeys(notes(results)), *varied(rows)]
    return "\n".join([*text, *[f"\n{remark}" for remark in remarks]])


def varied(rows: Sequence[Row]) -> list[str]:
    """What the half-widths are over: one line for all rows, or one for each kind."""
    kinds: dict[str, list[str]] = {}
    for label, row in zip(row_names(rows), rows, strict=True):
        if len(row.results) > 1:
            kinds.setdefault(row.varied, []).append(label)
    if len(kinds) == 1 and sum(map(len, kinds.values())) == len(rows):
        return [f"over {kind}" for kind in kinds]
    return [f"{', '.join(labels)} over {kind}" for kind, labels in kinds.items()]


def cells(row: Row, names: Sequence[str]) -> list[str]:
    """The mean errors of a row, and their mean with the half-width where runs can differ."""
    met = row.results[0].error_by_domain
    errors = [f"{row.mean(name):.1f}" if name in met else "" for name in names]
    overall = row.estimate(HEADLINE)
    half = "" if overall.t is None else f" ± {overall.t.half:.1f}"
    return [*errors, f"{overall.mean:.1f}{half}"]


def short(domain: str) -> str:
    """``gaussian_noise-5`` as ``gaussian noise``; other severities keep their number."""
    corruption, _, severity = domain.rpartition("-")
    return corruption.replace("_", " ") + ("" if severity == "5" else f" {severity}")
