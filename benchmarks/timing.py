"""How the benchmarks time: process seconds on one thread, the best of several rounds."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

import ctta
from ctta.results.environment import environment


def seconds(work: Callable[[], object]) -> float:
    """Process seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def side_by_side(
    works: Mapping[str, Callable[[], object]], *, rounds: int, seldom: Collection[str] = ()
) -> dict[str, dict[str, float]]:
    """Time all ``works`` in turn, ``rounds`` times after one that pays for compilation and caches.

    Args:
        works: by name.
        rounds: of all works.
        seldom: works that take part in every other round, since they take long.

    Returns:
        By name: ``seconds``, the best round; ``spread``, the median round over the best: a ratio of
        two works that is not clearly above both of their spreads is not resolved.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for i in range(rounds):
        for name, work in works.items():
            if not (i % 2 and name in seldom):
                times[name].append(seconds(work))
    return {
        name: {"seconds": min(own), "spread": sorted(own)[len(own) // 2] / min(own)}
        for name, own in times.items()
    }


def off_itself(one: float, again: float, *spreads: float) -> float:
    """By how much of itself a thing is off itself in a run, at the most.

    Args:
        one: its best round.
        again: the best round of the same, done once more in the same rounds.
        spreads: a median round over the best one, of this and of what it is compared with.
    """
    return max(one / again, again / one, *spreads) - 1


def verdict(ratio: float, bar: float | None, spread: float) -> str:
    """Whether a ratio is at most ``bar``, as far as the run can tell; nothing without a bar.

    Args:
        ratio: of what is measured to what it is measured by.
        bar: the most that it may be.
        spread: of the run, see `off_itself`.
    """
    if bar is None:
        return ""
    if bar / (1 + spread) < ratio < bar * (1 + spread):
        return "not resolved"
    return "met" if ratio <= bar else "missed"


def write(name: str, rows: list[dict[str, Any]], folder: Path | None) -> None:
    """Write ``rows`` with the machine as ``<folder>/<name>.json``; nothing without a folder."""
    if folder is None:
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = {
        "benchmark": name,
        "ctta": ctta.__version__,
        "processor": platform.processor() or platform.machine(),
        "environment": environment(device, torch.get_num_threads()),
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
