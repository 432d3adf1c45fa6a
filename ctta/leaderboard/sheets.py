"""A section as sheets of cells, which every format writes down in its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from ctta.leaderboard.board import Group, Line, Section
from ctta.leaderboard.published import PublishedRow, about
from ctta.leaderboard.shelf import NOT_HERE, NOT_VERIFIABLE
from ctta.results.result import CostRecord, Result
from ctta.results.rows import HEADLINE, Row
from ctta.results.statistics import corruption_of, ranks
from ctta.results.table import notes, short, varied


@dataclass(frozen=True)
class Cell:
    """Text as it was given; a format escapes it.

    Attributes:
        text: of the cell.
        bold: best of its group, or not told apart from the best.
        italic: not measured here.
    """

    text: str
    bold: bool = False
    italic: bool = False


@dataclass(frozen=True)
class Part:
    """Rows under a heading."""

    heading: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: what it is of.
        head: of the columns; the first holds names, the others numbers.
        parts: in order.
        notes: what a reader must know, a sentence each.
    """

    title: str
    head: Sequence[str]
    parts: Sequence[Part]
    notes: Sequence[str]


COSTS: dict[str, Callable[[CostRecord], float | None]] = {
    "ms an image": lambda c: 1000 / c.samples_per_second,
    "MFLOPs an image": lambda c: None if c.flops_per_sample is None else c.flops_per_sample / 1e6,
    "peak MiB": lambda c: c.peak_mib,
    "forwards a batch": lambda c: c.forwards,
    "backwards a batch": lambda c: c.backwards,
}
UNVERIFIED = {
    NOT_VERIFIABLE: "Not verifiable: there is no trace from which metrics could be computed again",
    NOT_HERE: "Not verified here: the trace lies elsewhere; 'ctta leaderboard check --download' "
    "fetches and checks it",
}
METRICS = {"NLL": "nll", "ECE": "ece", "Brier": "brier", "forgetting": "forgetting_pct"}


def sheets(section: Section) -> list[Sheet]:
    """Errors; then calibration, forgetting and costs."""
    return [errors(section), beside(section)]


def errors(section: Section) -> Sheet:
    """Error on each domain, their mean with its interval, and the published number."""
    domains = section.domains
    parts = [Part(group.name, error_rows(group, domains)) for group in section.groups]
    if section.published:
        parts.append(
            Part(
                "published numbers",
                [published_row(row, domains) for row in section.published],
            )
        )
    head = ["method", "rank", *map(short, domains), "mean", "published", "difference"]
    return Sheet(f"{title(section)}: error in %", head, parts, remarks(section))


def beside(section: Section) -> Sheet:
    """What else was measured."""
    parts = []
    for group in section.groups:
        best = {metric: bold(group, metric) for metric in METRICS.values()}
        rows = []
        for i, line in enumerate(group.lines):
            cells = [Cell(line.label)]
            for metric in METRICS.values():
                value = average(line.row, metric)
                digits = 1 if metric.endswith("_pct") else 3
                cells.append(Cell(number(value, digits), bold=best[metric][i]))
            cells += [Cell(number(cost(line.row, read), 2)) for read in COSTS.values()]
            cells.append(Cell(tuning_runs(line)))
            rows.append(cells)
        parts.append(Part(group.name, rows))
    head = ["method", *METRICS, *COSTS, "tuning runs"]
    return Sheet(f"{title(section)}: calibration and cost", head, parts, cost_notes(section))


def title(section: Section) -> str:
    """What the rows have in common."""
    return ", ".join([section.benchmark, section.setting, section.model, *section.chosen])


def error_rows(group: Group, domains: Sequence[str]) -> list[list[Cell]]:
    """The lines of a group."""
    best = {metric: bold(group, metric) for metric in (*domains, HEADLINE)}
    rows = []
    for i, line in enumerate(group.lines):
        interval = line.row.interval(HEADLINE)
        half = f" ± {interval.half:.2f}" if interval is not None and interval.half else ""
        rows.append(
            [
                Cell(line.label),
                Cell("" if line.rank is None else str(line.rank)),
                *(Cell(f"{line.row.mean(d):.1f}", bold=best[d][i]) for d in domains),
                Cell(f"{line.row.mean(HEADLINE):.2f}{half}", bold=best[HEADLINE][i]),
                Cell("" if line.published is None else f"{line.published.value:g}", italic=True),
                Cell(signed(line.difference), italic=True),
            ]
        )
    return rows


def bold(group: Group, metric: str) -> list[bool]:
    """For each line, whether no other of its group is better beyond the intervals."""
    if not all(has(line.row, metric) for line in group.lines):
        return [False] * len(group.lines)
    return [rank == 1 for rank in ranks([line.row.interval(metric) for line in group.lines])]


def published_row(row: PublishedRow, domains: Sequence[str]) -> list[Cell]:
    """A number from a paper, with its source."""
    cells = row.by_corruption or {}
    errors = [cells.get(corruption_of(domain)) for domain in domains]
    spread = "" if row.std is None else f" (std {row.std:g})"
    return [
        Cell(f"{row.method} ({row.source}, {row.table}; {row.evidence})", italic=True),
        Cell(""),
        *(Cell("" if e is None else f"{e:g}", italic=True) for e in errors),
        Cell(f"{row.value:g}{spread}", italic=True),
        Cell(""),
        Cell(""),
    ]


def remarks(section: Section) -> list[str]:
    """What is to be known of the errors."""
    rows = [line.row for line in section.lines]
    found = [f"Protocol {section.protocol_sha256[:12]}, {len(section.streams)} orders"]
    over = "; ".join(varied(rows))
    if over:
        found.append(f"Mean ± half of Student's 95 % interval, {over}")
    found.append(
        "Ranks and bold (best, or its interval overlaps the best one's) are within each part"
    )
    found += dict.fromkeys(notes([row.results[0] for row in rows]))
    if section.missing_controls:
        found.append(f"Negative controls that are missing: {', '.join(section.missing_controls)}")
    met = {line.unverified for line in section.lines}
    found += [text for mark, text in UNVERIFIED.items() if mark in met]
    for source in dict.fromkeys(row.source for row in section.published):
        found.append(f"Published, {source}: {about().sources[source]}")
    unequal = [
        f"{line.name}: {line.entries[0].entry.tuning.statement}"
        for group in section.groups
        for line in group.lines
        if not group.equal
    ]
    return [*found, *unequal]


def cost_notes(section: Section) -> list[str]:
    """What is to be known of the costs."""
    machines = dict.fromkeys(f.entry.hardware for line in section.lines for f in line.entries)
    found = [f"Measured on {'; '.join(machines)}"]
    if len(machines) > 1:
        found.append("Times of unlike machines are not comparable")
    shared = [
        line.name
        for line in section.lines
        if not all(costs_of(result).exclusive for result in line.row.results)
    ]
    if shared:
        of = "" if len(shared) == len(section.lines) else f": {', '.join(shared)}"
        found.append(f"Other runs were under way, so that times are too long{of}")
    return found


def average(row: Row, metric: str) -> float | None:
    """The mean of a metric; None where a run lacks it."""
    return row.mean(metric) if has(row, metric) else None


def has(row: Row, metric: str) -> bool:
    """All runs of the row have the metric."""
    return all(metric in r.metrics or metric in r.error_by_domain for r in row.results)


def cost(row: Row, read: Callable[[CostRecord], float | None]) -> float | None:
    """The mean of a cost; None where a run lacks it."""
    values = [read(costs_of(result)) for result in row.results]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def tuning_runs(line: Line) -> str:
    """Runs that the choice of the method's values took, where that is recorded."""
    record = line.row.results[0].tuning
    return "" if record is None else str(record.budget)


def signed(difference: float | None) -> str:
    """A difference with its sign; one that rounds to zero is not negative."""
    return "" if difference is None else f"{round(difference, 2) + 0.0:+.2f}"


def costs_of(result: Result) -> CostRecord:
    """The costs, which every entry has."""
    assert result.costs is not None
    return result.costs


def number(value: float | None, digits: int) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"
