"""The verdict on a published number: what was obtained beside it, and how far off it may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from ctta.leaderboard.published import PublishedRow, about
from ctta.online.trace import Trace
from ctta.results.compare import SAME_WITHIN_PCT
from ctta.results.metrics import error_by_visit

# No paper says how far a repetition may be off: what follows is ours. Most numbers are printed to
# 0.1, a corruption of 10,000 images has a standard error of up to 0.5, and devices round unlike.
STDS = 3.0
CORRUPTION_WITHIN_PCT = 1.5
FLIPPED = 2  # images of a corruption that may be answered otherwise, where there are few
RELATIVE = 0.05  # of NLL and Brier score
ERRORS = ("error_pct", "accuracy_pct")


@dataclass(frozen=True)
class Line:
    """One number beside the published one.

    Attributes:
        what: a corruption, ``mean``, or whose number it is.
        published: as printed.
        obtained: here.
        tolerance: largest difference that counts as the same; None: the line decides nothing.
    """

    what: str
    published: float
    obtained: float
    tolerance: float | None

    @property
    def difference(self) -> float:
        """Obtained minus published."""
        return self.obtained - self.published

    @property
    def within(self) -> bool:
        """Whether the two are the same, as far as the tolerance goes."""
        # Published numbers have two digits at most: a difference of 0.5 may be 0.5000000001.
        return self.tolerance is None or abs(self.difference) <= self.tolerance + 1e-6


@dataclass(frozen=True)
class Verdict:
    """What a reproduction showed.

    Attributes:
        name: of the row.
        row: the published number that decides.
        lines: source error, corruptions, mean, and other published numbers.
        causes: of a failure, one sentence each; empty: the number was reproduced.
    """

    name: str
    row: PublishedRow
    lines: Sequence[Line]
    causes: Sequence[str]

    @property
    def passed(self) -> bool:
        """The number was reproduced, under the conditions of the row."""
        return not self.causes

    def table(self) -> Table:
        """Published, obtained, difference and tolerance of each line."""
        table = Table(title=f"{self.name}: {self.row.metric}")
        for column in ("", "published", "obtained", "difference", "tolerance", ""):
            table.add_column(column, justify="left" if column == "" else "right")
        for line in self.lines:
            table.add_row(
                line.what,
                f"{line.published:g}",
                f"{line.obtained:.2f}",
                f"{line.difference:+.2f}",
                "" if line.tolerance is None else f"{line.tolerance:.2f}",
                "" if line.tolerance is None else ("holds" if line.within else "differs"),
            )
        return table

    def __str__(self) -> str:
        row = self.row
        read = f"{about().sources[row.source]}, {row.table} ({row.evidence})"
        if self.passed:
            return f"PASS: {self.name}, {read}"
        return "\n".join([f"FAIL: {self.name}, {read}", *(f"  {c}" for c in self.causes)])


def mean_error(trace: Trace) -> float:
    """Mean over the visits, which is the mean that papers report of every setting."""
    return float(np.nanmean(error_by_visit(trace)))


def as_error(row: PublishedRow) -> float:
    """The row's value as an error in %."""
    return row.value if row.metric == "error_pct" else 100 - row.value


def tolerance(row: PublishedRow) -> float:
    """Largest difference of the mean that counts as reproduced."""
    if row.metric not in ERRORS:
        return RELATIVE * row.value
    return max(SAME_WITHIN_PCT, STDS * (row.std or 0.0))


def corruption_lines(row: PublishedRow, traces: Iterable[Trace]) -> list[Line]:
    """The row's corruptions beside the runs'."""
    if row.by_corruption is None:
        return []
    found = by_corruption(traces, row.rounds)
    few = 100 * FLIPPED / (row.n_images or 10_000)
    within = max(CORRUPTION_WITHIN_PCT, few)
    return [
        Line(name.replace("_", " "), value, found[name], within)
        for name, value in row.by_corruption.items()
        if name in found
    ]


def by_corruption(traces: Iterable[Trace], rounds: int = 1) -> dict[str, float]:
    """Mean error in % of each corruption over the visits of the first round and over the runs."""
    errors: dict[str, list[float]] = {}
    for trace in traces:
        names = trace.domain_names[: len(trace.domain_names) // rounds]
        for name, error in zip(names, error_by_visit(trace)[: len(names)].tolist(), strict=True):
            corruption, dash, severity = name.rpartition("-")
            known = corruption if dash and severity.isdecimal() else name
            errors.setdefault(known, []).append(error)
    return {name: float(np.nanmean(found)) for name, found in errors.items()}
