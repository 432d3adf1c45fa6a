"""A golden file's arrays, which of them a pattern covers, and how one is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass
class Case:
    """One file: its spec and its arrays, loaded when asked for."""

    spec: dict[str, Any]
    arrays: Any

    def under(self, prefix: str) -> dict[str, Tensor]:
        cut = len(prefix) + 1
        names = [name for name in self.arrays.files if name.startswith(prefix + "/")]
        return {name[cut:]: torch.as_tensor(self.arrays[name]) for name in names}


@dataclass
class Report:
    """What was compared, what differed and what could not be looked at.

    ``undecided`` says why the failures, if there are any, are rounding's and not the method's.
    """

    compared: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    off: dict[str, Mapping[str, float]] = field(default_factory=dict)  # key -> its tolerance
    skipped: list[str] = field(default_factory=list)
    undecided: str | None = None


def matching(case: Case, pattern: str) -> Iterator[str]:
    """Arrays that the pattern covers; with a star only parameters, or the statistic it ends in."""
    for key in case.arrays.files:
        statistic = next((s for s in STATISTICS if key.endswith(s)), None)
        covered = "*" not in pattern or statistic is None or pattern.endswith(statistic)
        if covered and fnmatchcase(key, pattern):
            yield key


def check(
    key: str, file: Any, mine: Any, tolerance: Mapping[str, float], required: bool, report: Report
) -> None:
    """Compare one array; NaN in the file means no value."""
    if mine is None:
        (report.failures if required else report.skipped).append(
            f"{key}: not exposed by the method" if required else key
        )
        return
    theirs, ours = np.asarray(file).reshape(-1), np.asarray(mine).reshape(-1)
    if theirs.size != ours.size:
        report.failures.append(f"{key}: {ours.size} entries, the file has {theirs.size}")
        return
    report.compared.append(key)
    theirs, ours = theirs.astype(np.float64), ours.astype(np.float64)
    there = ~np.isnan(theirs)
    gap = np.abs(ours - theirs)[there]
    allowed = (tolerance["atol"] + tolerance["rtol"] * np.abs(theirs))[there]
    if not np.isfinite(ours[there]).all() or (gap > allowed).any():
        report.off[key] = tolerance
        report.failures.append(f"{key}: off by {np.max(gap, initial=0.0):.3g}, allowed {tolerance}")
