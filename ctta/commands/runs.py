"""`ctta runs`: list the store, compare two runs, run failed ones again, remove leftovers."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from ctta.launchers.slurm_jobs import why_needed
from ctta.launchers.slurm_queue import Queue
from ctta.places import runs_dir
from ctta.results.choice import chosen, named
from ctta.results.index import CHECKPOINT, CONFIG, RECORD, SHOWN, TRACE, Run, RunIndex
from ctta.results.leftovers import leftovers, n_bytes, remove

log = logging.getLogger("ctta")
TABLE = [name for name in SHOWN if name != "code"]
AGAIN = ("failed", "stopped", "damaged")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; of `retry` 1 where a run failed again, of `diff` 1 where the traces differ.

    Raises:
        ValueError: an unknown run or key, or a record that cannot be read.
    """
    parser = argparse.ArgumentParser(prog="ctta runs", description="The run store.")
    commands = parser.add_subparsers(required=True, metavar="list|show|diff|gc|retry")

    def command(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--runs", type=Path, metavar="DIR", help="the store; else CTTA_RUNS")
        made.set_defaults(action=action)
        return made

    def filters(made: argparse.ArgumentParser, text: str) -> None:
        made.add_argument("filters", nargs="*", metavar="key=value", help=text)

    some = "only runs with it: method=tent,cotta status=failed optimizer.lr=0.001"
    made = command("list", show_list, "One line a run.")
    filters(made, some)
    made.add_argument("--json", action="store_true", help="as JSON")
    made = command("show", show_one, "What is recorded of one run.")
    made.add_argument("run", help="its folder, or the beginning of that")
    made.add_argument("--json", action="store_true", help="as JSON")
    made = command("diff", show_difference, "What of two runs differs, and from which sample on.")
    made.add_argument("a", help="a run's folder, or the beginning of that")
    made.add_argument("b", help="another one")
    made.add_argument("--json", action="store_true", help="as JSON")
    made = command("gc", collect, "Remove what killed processes left, or whole runs.")
    filters(made, f"whole runs instead; {some}")
    made.add_argument("--delete", action="store_true", help="else only said")
    made = command("retry", retry, "Run failed and stopped runs again; the others stay.")
    filters(made, some)
    made.add_argument("--dry-run", action="store_true", help="only say which")
    options = parser.parse_args(arguments)
    options.runs = runs_dir(options.runs)
    status: int = options.action(options)
    return status


def write(lines: Iterable[str]) -> None:
    """To standard output."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def show_list(options: argparse.Namespace) -> int:
    """`ctta runs list`."""
    runs = chosen(RunIndex(options.runs).refresh(), options.filters)
    if options.json:
        write([json.dumps([run.shown() for run in runs], indent=2)])
    else:
        write(table([run.shown() for run in runs]))
    return 0


def table(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Aligned columns; those that are empty in every row are left out."""
    heads = [h for h in TABLE if any(row[h] is not None for row in rows)]
    cells = [[text(row[head]) for head in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for line in ([heads] if heads else []) + cells:
        yield "  ".join(f"{cell:{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()


def text(value: Any) -> str:
    """A value in a table."""
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def show_one(options: argparse.Namespace) -> int:
    """`ctta runs show`."""
    run = named(RunIndex(options.runs).refresh(), options.run)
    folder = options.runs / run.folder
    shown: dict[str, Any] = {"folder": str(folder), "status": run.status, "reason": run.reason}
    if (folder / CHECKPOINT).is_dir():
        from ctta.online.resume import batches_reached

        shown["batches_reached"] = batches_reached(folder / CHECKPOINT)
    if (folder / RECORD).is_file():
        from ctta.results.result import Result

        shown |= Result.load(folder / RECORD).model_dump() | shown
    else:
        shown["config"] = dict(run.config)
    if options.json:
        write([json.dumps(shown, indent=2)])
    else:
        shown["config"] = str(folder / CONFIG)
        write([yaml.safe_dump(shown, sort_keys=False).rstrip()])
    return 0


def show_difference(options: argparse.Namespace) -> int:
    """`ctta runs diff`."""
    runs = RunIndex(options.runs).refresh()
    folders = [options.runs / named(runs, name).folder for name in (options.a, options.b)]
    from ctta.online.trace import Trace
    from ctta.results.difference import difference
    from ctta.results.result import Result

    a, b = (Result.load(folder / RECORD) for folder in folders)
    trace_a, trace_b = (Trace.load(f / TRACE) if (f / TRACE).is_file() else None for f in folders)
    found = difference(a, b, trace_a, trace_b)
    if options.json:
        write([json.dumps(found.to_dict(), indent=2)])
    else:
        write([f"A: {folders[0].name}", f"B: {folders[1].name}", *found.lines()])
    return 0 if found.same_bits else 1


def collect(options: argparse.Namespace) -> int:
    """`ctta runs gc`."""
    runs = RunIndex(options.runs).refresh()
    if options.filters:
        running = [run for run in chosen(runs, options.filters) if run.status == "running"]
        paths = [options.runs / r.folder for r in chosen(runs, options.filters) if r not in running]
        write(f"left alone, it is running: {run.folder}" for run in running)
    else:
        paths, queue = [], Queue()
        for path in leftovers(options.runs, runs):
            why = why_needed(path, queue)
            if why is None:
                paths.append(path)
            else:
                write([f"left alone, {why}: {path.relative_to(options.runs)}"])
    total = 0
    for path in paths:
        size = n_bytes(path)
        total += size
        if options.delete:
            remove(path)
        done = "removed" if options.delete else "would go"
        write([f"{done}: {path.relative_to(options.runs)}, {size / 1e6:.1f} MB"])
    also = "" if options.delete or not paths else "; --delete removes them"
    write([f"{len(paths)} found, {total / 1e6:.1f} MB{also}"])
    RunIndex(options.runs).refresh()
    return 0


def retry(options: argparse.Namespace) -> int:
    """`ctta runs retry`."""
    runs = chosen(RunIndex(options.runs).refresh(), options.filters)
    again = [run for run in runs if run.status in AGAIN and run.config]
    if options.dry_run:
        write(table([run.shown() for run in again]))
        return 0
    failures = [(run, reason) for run in again if (reason := run_again(run, options.runs))]
    write([f"{len(again) - len(failures)} of {len(again)} runs finished"])
    write(f"  {run.folder}: {reason}" for run, reason in failures)
    return 1 if failures else 0


def run_again(run: Run, root: Path) -> str | None:
    """Run one run from its configuration; why it failed, or None."""
    from ctta.online.stopping import StopSignals
    from ctta.results.outcome import in_words
    from ctta.results.run import Experiment
    from ctta.results.store import RunStore

    log.info("%s: %s", run.folder, run.reason or run.status)
    config = {**run.config, "force": False, "dry_run": False}
    try:
        with StopSignals() as stop:
            Experiment(config).run(RunStore(root), stop)
    except Exception as error:  # the others are still to be run
        return in_words(error)
    return None
