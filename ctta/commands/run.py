"""`ctta run`: every run that the composed configuration describes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ctta.composition import experiment, for_each
from ctta.online.stopping import StopSignals

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ctta.results.result import Result

log = logging.getLogger("ctta")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 where every run was finished."""
    from ctta.results.result import Result

    flags = {"--dry-run": "dry_run=true", "--force": "force=true"}
    well, paths = for_each("ctta run", [flags.get(a, a) for a in arguments], execute)
    if len(paths) > 1:
        report([Result.load(path) for path in paths])
    return 0 if well else 1


def execute(composed: DictConfig) -> Path | None:
    """Run one composed configuration; the path of its record, None after a dry run."""
    from ctta.places import runs_dir
    from ctta.results.store import RunStore

    chosen = experiment(composed)
    if chosen.config["dry_run"]:
        Console().print(chosen.plan(), highlight=False)
        return None
    store = RunStore(runs_dir(chosen.config["paths"]["runs"]).resolve())
    with StopSignals() as stop:
        result = chosen.run(store, stop)
    names = chosen.config["names"]
    return store.folder(names["method"], names["dataset"], result.identity) / "result.json"


def report(results: Sequence[Result]) -> None:
    """Print the table of several runs, draw the two pictures, keep what is chosen from them."""
    from ctta.places import runs_dir
    from ctta.results.summary import summarise_runs
    from ctta.results.tuning import keep_chosen

    root = runs_dir(results[0].config["paths"]["runs"])
    summarise_runs(results, root, Console())
    if results[0].config.get("choose"):  # older records do not have it
        for name, path in keep_chosen(results, root / "tuned").items():
            log.info(
                "chosen: %s; run it with --config-dir %s experiment=%s", path, root / "tuned", name
            )
