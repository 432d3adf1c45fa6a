"""`ctta reproduce`: the published rows that have a configuration; one of them run again."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ctta.composition import experiment, for_each

COLUMNS = ("name", "setting", "architecture", "metric", "number", "source", "evidence")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 for a list and for a number that was reproduced, 1 for one that was not.

    Raises:
        ValueError: no such row, or an argument that is no override.
    """
    if arguments and arguments[0] == "list":
        return listed(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="ctta reproduce", description="Run a published number again, and compare."
    )
    parser.add_argument("name", help="<method>/<benchmark>/<protocol>, or list")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as of ctta run")
    parser.add_argument("--force", action="store_true", help="although the run is finished already")
    chosen = parser.parse_intermixed_args(arguments)
    for override in chosen.overrides:
        if "=" not in override:
            raise ValueError(f"expected key=value, got {override!r}; type 'ctta reproduce --help'")
    from ctta.reproduce.reproduction import Reproduction

    row = Reproduction(chosen.name, chosen.overrides)
    overrides = [f"experiment={row.experiment}", *chosen.overrides]
    if chosen.force:
        overrides.append("force=true")
    well, _ = for_each("ctta reproduce", overrides, lambda found: row.run(experiment(found)))
    if not well:
        return 1
    verdict = row.verdict()
    console = Console(soft_wrap=True)
    if verdict.lines:
        console.print(verdict.table())
    console.print(str(verdict), highlight=False, markup=False)
    return 0 if verdict.passed else 1


def listed(arguments: Sequence[str]) -> int:
    """The rows with a configuration, best evidence first within a name."""
    parser = argparse.ArgumentParser(
        prog="ctta reproduce list", description="Published numbers that have a configuration."
    )
    parser.add_argument("--benchmark", help="as cifar10_c; all, if not given")
    parser.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    chosen = parser.parse_args(arguments)
    from ctta.leaderboard.published import best_first, published_rows

    rows = [row for row in best_first(published_rows()) if row.name]
    known = sorted({row.benchmark for row in rows})
    if chosen.benchmark is not None:
        if chosen.benchmark not in known:
            raise ValueError(
                f"--benchmark: expected one of {', '.join(known)}, got {chosen.benchmark!r}"
            )
        rows = [row for row in rows if row.benchmark == chosen.benchmark]
    rows.sort(key=lambda row: (row.benchmark, (row.experiment or "").rpartition("/")))
    if chosen.json:
        values = [{"name": row.name, **row.model_dump(exclude_none=True)} for row in rows]
        Console(soft_wrap=True).print(json.dumps(values, indent=1), markup=False, highlight=False)
        return 0
    lines = []
    for row in rows:
        number = f"{row.value:g}" + (f" ± {row.std:g}" if row.std else "")
        source = f"{row.source}, {row.table}"
        lines.append(
            (row.name, row.setting, row.architecture, row.metric, number, source, row.evidence)
        )
    console = Console(soft_wrap=True)
    if not console.is_terminal:  # for cut, grep and spreadsheets
        for line in (COLUMNS, *lines):
            sys.stdout.write("\t".join(map(str, line)) + "\n")
        return 0
    table = Table()
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "number" else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console.print(table, soft_wrap=False)
    return 0
