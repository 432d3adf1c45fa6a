"""What stands together in a table: rows that may be ranked, the controls, published numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ctta.leaderboard.check import Check, Installed, comparable_published
from ctta.leaderboard.entry import Entry, typed
from ctta.leaderboard.published import PublishedRow, best_first
from ctta.leaderboard.shelf import NOT_HERE, NOT_VERIFIABLE, Filed, Problem, Shelf
from ctta.results.result import Result
from ctta.results.rows import HEADLINE, RANKED_TOGETHER, Row, gather, ranked
from ctta.results.table import row_names

CONTROLS = ("source", "norm", "frozen")  # no adaptation, BN-1, adaptation stopped after n batches


@dataclass(frozen=True)
class Line:
    """A row of the leaderboard: runs that differ in seeds alone.

    Attributes:
        name: the method, and what tells its rows apart.
        row: the runs.
        entries: of the runs.
        rank: among the lines of its group; None of a single run.
        published: the best evidence for the same method and protocol; None: there is none.
    """

    name: str
    row: Row
    entries: Sequence[Filed]
    rank: int | None
    published: PublishedRow | None

    @property
    def method(self) -> str:
        """The method's name."""
        return self.row.results[0].method.name

    @property
    def control(self) -> bool:
        """A negative control."""
        return self.method in CONTROLS

    @cached_property
    def unverified(self) -> str:
        """As `ctta.leaderboard.shelf.Filed.unverified`: of its runs what says the worst."""
        found = {filed.unverified for filed in self.entries}
        return next((mark for mark in (NOT_VERIFIABLE, NOT_HERE) if mark in found), "")

    @property
    def marks(self) -> list[str]:
        """What to know of it wherever its name is shown."""
        return [mark for mark in ("control" if self.control else "", self.unverified) if mark]

    @property
    def label(self) -> str:
        """The name with its marks."""
        return f"{self.name} ({', '.join(self.marks)})" if self.marks else self.name

    @property
    def difference(self) -> float | None:
        """Measured minus published, in points."""
        return None if self.published is None else self.row.mean(HEADLINE) - self.published.value


@dataclass(frozen=True)
class Group:
    """Lines that had the same means: the same access to source data, and tuned alike or not.

    Attributes:
        uses_source_data: while adapting or before.
        equal: tuned as all others are; see `ctta.leaderboard.entry.Tuning`.
        lines: best first.
    """

    uses_source_data: bool
    equal: bool
    lines: Sequence[Line]

    @property
    def name(self) -> str:
        """As a heading."""
        access = "source-using" if self.uses_source_data else "source-free"
        return f"{access}, {'equally tuned' if self.equal else 'tuned in its own way'}"


@dataclass(frozen=True)
class Section:
    """Rows of one protocol, source model, version of the metrics, and set of orders.

    Attributes:
        benchmark: the data set's name.
        setting: the stream's.
        model: the source model's.
        protocol_sha256: of the streams.
        streams: hashes of the orders, and of the images of each.
        groups: ranked each on its own.
        published: numbers from papers of that protocol, as far as they say.
    """

    benchmark: str
    setting: str
    model: str
    protocol_sha256: str
    streams: Mapping[str, str]
    groups: Sequence[Group]
    published: Sequence[PublishedRow]

    @cached_property
    def lines(self) -> list[Line]:
        """Of all groups."""
        return [line for group in self.groups for line in group.lines]

    @property
    def chosen(self) -> list[str]:
        """What the first entry sets of data and stream besides the seed, as ``rounds=3``."""
        overrides = self.lines[0].entries[0].entry.rerun.overrides
        return [
            f"{key.rpartition('.')[2]}={typed(value)}"
            for key, value in sorted(overrides.items())
            if key.partition(".")[0] in ("dataset", "stream") and key != "stream.seed"
        ]

    @property
    def missing_controls(self) -> list[str]:
        """Negative controls that nobody has added."""
        return [name for name in CONTROLS if name not in {line.method for line in self.lines}]

    @cached_property
    def domains(self) -> list[str]:
        """In the order in which the first run met them."""
        return list(self.lines[0].row.results[0].error_by_domain)


@dataclass(frozen=True)
class Board:
    """All sections of a folder of entries.

    Attributes:
        sections: by benchmark, setting and model; the fullest first.
        problems: of entries that are left out, and questions.
    """

    sections: Sequence[Section]
    problems: Sequence[Problem] = field(default_factory=tuple)

    @property
    def broken(self) -> bool:
        """Some entry is left out."""
        return any(not problem.question for problem in self.problems)


def board(
    shelf: Shelf,
    benchmark: str | None = None,
    installed: Callable[[Entry], Installed] | None = None,
) -> Board:
    """Read, check and arrange the entries.

    Args:
        shelf: of the entries.
        benchmark: whose; None: of all.
        installed: as of `ctta.leaderboard.check.Check`.

    Raises:
        ValueError: no such folder.
    """
    part = None if benchmark is None else shelf.root / benchmark
    if benchmark is not None and benchmark not in shelf.benchmarks:
        known = ", ".join(shelf.benchmarks) or "none"
        raise ValueError(f"--benchmark: expected one of {known}, got {benchmark!r}")
    entries, problems = shelf.read(part)
    problems += Check(shelf, installed).check(entries)
    broken = {problem.where for problem in problems if not problem.question}
    good = [filed for filed in entries if filed.where not in broken]
    return Board(sections(shelf, good), problems)


def sections(shelf: Shelf, entries: Sequence[Filed]) -> list[Section]:
    """Entries in sections, best first within a group."""
    groups: dict[str, list[Row]] = {}
    for row in gather([filed.entry.result for filed in entries]):
        first = row.results[0]
        names = [first.config["names"][key] for key in ("dataset", "stream", "model")]
        together = [read(first) for read in RANKED_TOGETHER.values()]
        key = json.dumps([names, together, sorted(streams(row).items())])
        groups.setdefault(key, []).append(row)
    by_identity = {filed.entry.result.identity: filed for filed in entries}
    found = [section(shelf, groups[key], by_identity) for key in sorted(groups)]
    return sorted(found, key=lambda s: (s.benchmark, s.setting, s.model, -len(s.streams)))


def section(shelf: Shelf, rows: Sequence[Row], entries: Mapping[str, Filed]) -> Section:
    """Rows that belong together."""
    first = rows[0].results[0]
    published = same_protocol(shelf, entries[first.identity])
    names = dict(zip(map(id, rows), row_names(rows), strict=True))
    groups: dict[tuple[bool, bool], list[Row]] = {}
    for row in rows:
        own = [entries[result.identity].entry for result in row.results]
        key = (not all(e.tuning.equal for e in own), row.results[0].method.uses_source_data)
        groups.setdefault(key, []).append(row)
    made = []
    for (unequal, uses_source_data), own_rows in sorted(groups.items()):
        best = sorted(own_rows, key=lambda row: row.mean(HEADLINE))
        lines = [
            Line(
                name=names[id(row)],
                row=row,
                entries=[entries[result.identity] for result in by_seed(row)],
                rank=rank,
                published=next(
                    (p for p in published if p.method == row.results[0].method.name), None
                ),
            )
            for row, rank in zip(best, ranked(best), strict=True)
        ]
        made.append(Group(uses_source_data, not unequal, lines))
    chosen = first.config["names"]
    return Section(
        benchmark=chosen["dataset"],
        setting=chosen["stream"],
        model=chosen["model"],
        protocol_sha256=first.stream.protocol_sha256,
        streams=streams(rows[0]),
        groups=made,
        published=published,
    )


def by_seed(row: Row) -> list[Result]:
    """The runs of a row in the order of their seeds."""
    return sorted(row.results, key=lambda r: (r.seeds["stream"], r.seeds["method"]))


def streams(row: Row) -> dict[str, str]:
    """Hash of each stream -> hash of its images."""
    return {r.stream.stream_sha256: r.data.data_sha256 for r in row.results}


def same_protocol(shelf: Shelf, filed: Filed) -> list[PublishedRow]:
    """Published errors whose protocol is the entry's as far as they say; best evidence first."""
    entry = filed.entry
    config, result = entry.result.config, entry.result
    n_images = None
    if result.stream.stream_sha256 in shelf.known(entry.benchmark).streams:
        shared = shelf.shared(entry)
        n_images = len(shared["label"]) // len(shared["domain_names"])
    own = {
        "batch_size": config["stream"].get("batch_size"),
        "severity": config["dataset"].get("severity"),
        "rounds": config["stream"].get("rounds", 1),
        "n_images": n_images,
    }
    return best_first(
        [
            row
            for row in comparable_published(entry)
            if all(getattr(row, key) in (None, value) for key, value in own.items())
        ]
    )
