"""`ctta stats`: means with intervals, ranks, paired differences, the effect of learning rates."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ctta.results.result import Result
    from ctta.results.rows import Row

log = logging.getLogger("ctta")
WIDTH = 1000
Summary = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Exit status 0.

    Raises:
        ValueError: an unreadable record, a metric or a row that is not there, or runs that cannot
            be averaged.
    """
    parser = argparse.ArgumentParser(
        prog="ctta stats",
        description="Runs that differ in seeds alone make a row: mean with Student's 95 %% "
        "interval and the bootstrap's, standard deviation, rank (overlapping intervals tie).",
    )
    parser.add_argument(
        "results", nargs="*", type=Path, help="run folders or result.json; none: all of CTTA_RUNS"
    )
    parser.add_argument("--metric", default="error_pct", help="or a domain's error, as fog-5")
    parser.add_argument(
        "--against", metavar="ROW", help="the error of each row less that of this one, in pairs"
    )
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    chosen = parser.parse_args(arguments)
    groups = [
        summary(rows, chosen.metric, chosen.against)
        for rows in ranked_together(load(chosen.results))
    ]
    if chosen.against and not any("less" in row for group in groups for row in group["rows"]):
        known = dict.fromkeys(row["row"] for group in groups for row in group["rows"])
        raise ValueError(f"--against: expected one of {', '.join(known)}; got {chosen.against!r}")
    if chosen.json:
        sys.stdout.write(json.dumps(groups, indent=2) + "\n")
        return 0
    console = Console(width=WIDTH)  # a table made for a narrow terminal would lack numbers
    for group in groups:
        show(group, console)
    return 0


def load(paths: Sequence[Path]) -> list[Result]:
    """The finished runs at ``paths``, or of the whole store; failed ones are counted.

    Raises:
        ValueError: nothing there, or an unreadable record.
    """
    from ctta.places import runs_dir
    from ctta.results.result import Result

    paths = list(paths) or sorted(runs_dir().glob("*/result.json"))
    results = [Result.load(p / "result.json" if p.is_dir() else p) for p in paths]
    finished = [result for result in results if result.status == "finished"]
    if not finished:
        raise ValueError(f"no finished runs in {runs_dir()}; name some, or set CTTA_RUNS")
    if len(finished) < len(results):
        log.warning("%d failed runs are left out", len(results) - len(finished))
    return finished


def ranked_together(results: Sequence[Result]) -> list[list[Row]]:
    """Rows of one protocol, source model and version of the metrics, each group on its own."""
    from ctta.results.rows import RANKED_TOGETHER, gather

    groups: dict[str, list[Row]] = {}
    for row in gather(results):
        key = json.dumps([read(row.results[0]) for read in RANKED_TOGETHER.values()])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def summary(rows: Sequence[Row], metric: str, against: str | None) -> Summary:
    """What there is to say of rows that belong together, best first, as JSON-able values."""
    from ctta.results.rows import RANKED_TOGETHER, learning_rates, ranked
    from ctta.results.table import row_names

    first = rows[0].results[0]
    rows = sorted(rows, key=lambda row: row.mean(metric))
    names = dict(zip(row_names(rows), rows, strict=True))
    not_ranked = None
    try:
        ranks = ranked(rows, metric)
    except ValueError as error:
        ranks, not_ranked = [None] * len(rows), str(error)
    described = [
        {"row": name, "over": row.varied, "rank": rank, **asdict(row.estimate(metric))}
        for (name, row), rank in zip(names.items(), ranks, strict=True)
    ]
    other = next(
        (n for n, row in names.items() if against in (n, row.results[0].method.name)), None
    )
    if other is not None:
        for values, row in zip(described, rows, strict=True):
            if row is not names[other]:
                values["less"] = {"row": other, **difference(row, names[other])}
    rates = []
    for own in learning_rates(rows):
        best = min(own, key=lambda rate: own[rate].mean(metric))
        effects = [
            {"lr": rate, **asdict(row.estimate(metric))}
            | ({} if rate == best else {"less_best": difference(row, own[best])})
            for rate, row in own.items()
        ]
        rates.append({"method": own[best].results[0].method.name, "best": best, "rates": effects})
    return {
        "stream": first.stream.name.partition(",")[0],
        **{key: read(first) for key, read in RANKED_TOGETHER.items()},
        "metric": metric,
        "rows": described,
        "not_ranked": not_ranked,
        "learning_rates": rates,
    }


def difference(row: Row, other: Row) -> Summary:
    """The paired effect, or why there is none."""
    from ctta.results.rows import paired

    try:
        return asdict(paired(row, other))
    except ValueError as error:
        return {"mean": None, "interval": None, "reason": str(error)}


def show(group: Summary, console: Console) -> None:
    """One group as tables."""
    console.print(f"{group['stream']}, {group['metric']}", style="bold", highlight=False)
    rows = group["rows"]
    less = next((row["less"]["row"] for row in rows if "less" in row), None)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    titles = ["rank", "row", "mean", "95 %", "bootstrap", "std", "over"]
    for title in titles + ([] if less is None else [f"less {less}", "95 %"]):
        table.add_column(title, justify="left" if title in ("row", "over") else "right")
    for row in rows:
        rank = "" if row["rank"] is None else str(row["rank"])
        line = [rank, row["row"], *estimated(row), row["over"]]
        effect = row.get("less", {"mean": None, "interval": None})
        table.add_row(
            *line, *([] if less is None else [signed(effect), interval(effect["interval"])])
        )
    console.print(table)
    reasons = [group["not_ranked"], *(row.get("less", {}).get("reason") for row in rows)]
    for reason in dict.fromkeys(filter(None, reasons)):
        console.print(reason, highlight=False)
    for rates in group["learning_rates"]:
        console.print(
            f"learning rate of {rates['method']}: best {rates['best']:g}, chosen on this stream",
            highlight=False,
        )
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for title in ["lr", "mean", "95 %", "bootstrap", "std", "less best", "95 %"]:
            table.add_column(title, justify="right")
        for row in rates["rates"]:
            effect = row.get("less_best", {"mean": None, "interval": None})
            table.add_row(
                f"{row['lr']:g}", *estimated(row), signed(effect), interval(effect["interval"])
            )
        console.print(table)


def estimated(row: Summary) -> list[str]:
    """Mean, two intervals and standard deviation as text."""
    std = "" if row["std"] is None else f"{row['std']:.2f}"
    return [f"{row['mean']:.2f}", interval(row["t"]), interval(row["bootstrap"]), std]


def interval(values: Mapping[str, float] | None) -> str:
    """``low to high``; nothing where there is none."""
    return "" if values is None else f"{values['low']:.2f} to {values['high']:.2f}"


def signed(effect: Summary) -> str:
    """A difference with its sign."""
    return "" if effect["mean"] is None else f"{effect['mean']:+.2f}"
