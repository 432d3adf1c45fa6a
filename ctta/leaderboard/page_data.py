"""What the page shows, as JSON: panels of tables, their rows, and each row's protocol.

Cells are those of `ctta.leaderboard.sheets`. Beside them a row has what the page's pictures and
its comparison of two rows are made from; what rows have in common is written once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctta.leaderboard.along import Segment, error_in_parts, n_parts, segments
from ctta.leaderboard.board import Board, Line, Section
from ctta.leaderboard.entry import Entry, typed
from ctta.leaderboard.published import PublishedRow, about, published_rows
from ctta.leaderboard.sheets import Cell, sheets
from ctta.leaderboard.shelf import Filed, Shelf
from ctta.results.compare import flat
from ctta.results.result import Result
from ctta.results.rows import HEADLINE
from ctta.results.statistics import N_RESAMPLES, corruption_of, generator
from ctta.results.table import short

Json = dict[str, Any]
POINT = 1_000  # errors are integers: this many to a point


@dataclass
class Texts:
    """Values that many rows share, each written once; a row has its number."""

    values: list[Any] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, value: Any) -> int:
        """Of a JSON-able value."""
        key = json.dumps(value)
        if key not in self.numbers:
            self.numbers[key] = len(self.values)
            self.values.append(value)
        return self.numbers[key]


def page_data(board: Board, shelf: Shelf, entries: str) -> Json:
    """Everything that the page shows.

    Args:
        board: what to show.
        shelf: of the entries, for their traces.
        entries: the folder of entries as the page's links have it.
    """
    texts = Texts()
    panels = [measured_panel(section, shelf, texts) for section in board.sections]
    panels += published_panels(board.sections, texts)
    name_panels(panels)
    state = generator("paired").bit_generator.state["state"]
    return {
        "entries": entries,
        "problems": [str(problem) for problem in board.problems if not problem.question],
        "panels": panels,
        "texts": texts.values,
        "draws": {
            "state": str(state["state"]),
            "increment": str(state["inc"]),
            "resamples": N_RESAMPLES,
        },
        "point": POINT,
    }


def name_panels(panels: Sequence[Json]) -> None:
    """Give each a name among those of its benchmark, and an address."""
    measured = [(panel["benchmark"], panel["setting"]) for panel in panels if panel["model"]]
    names: set[str] = set()
    addresses: set[str] = set()
    for panel in panels:
        name = panel["setting"]
        several = measured.count((panel["benchmark"], name))
        if panel["model"] and several > 1:
            name += f", {panel['model']}"
        elif not panel["model"] and several:
            name += ", published"
        benchmark = f"{panel['benchmark']}/"
        panel["name"] = unused(benchmark + name, names).removeprefix(benchmark)
        panel["id"] = unused(f"{slug(panel['benchmark'])}/{slug(panel['name'])}", addresses)


def slug(text: str) -> str:
    """A text as a part of an address."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def unused(name: str, taken: set[str]) -> str:
    """``name``, with a number if it is taken."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name} {number}", number + 1
    taken.add(found)
    return found


def measured_panel(section: Section, shelf: Shelf, texts: Texts) -> Json:
    """A section with everything about its rows."""
    errors, beside = sheets(section)
    first, last = 2, 2 + len(section.domains)  # after the name and the rank

    def in_tables(cells: Sequence[Cell], more: Sequence[Cell]) -> Json:
        tables = [[cells[1], *cells[last:], *more], [*cells[first:last], cells[last]]]
        return {
            "cells": [[cell.text for cell in own] for own in tables],
            "bold": [[i for i, cell in enumerate(own) if cell.bold] for own in tables],
        }

    streams = list(section.streams)
    configs = [flat(line.entries[0].entry.result.config) for line in section.lines]
    common = shared_by_all(configs)
    rows: list[Json] = []
    parts: list[Json] = []
    met = Met(shelf)
    for group, own, other in zip(section.groups, errors.parts, beside.parts, strict=False):
        numbers = []
        for line, cells, more in zip(group.lines, own.rows, other.rows, strict=True):
            config = configs[len(rows)]
            numbers.append(len(rows))
            rows.append(
                {
                    **in_tables(cells, more[1:]),
                    **measured(line, section, streams, texts),
                    "along": along(line, met),
                    "config": {k: v for k, v in config.items() if k not in common},
                }
            )
        parts.append(
            {
                "heading": group.name,
                "source_using": group.uses_source_data,
                "own_tuning": not group.equal,
                "rows": numbers,
            }
        )
    if section.published:
        blank = [Cell("")] * (len(beside.head) - 1)
        numbers = [*range(len(rows), len(rows) + len(section.published))]
        parts.append({"heading": "published numbers", "published": True, "rows": numbers})
        rows += [
            {**in_tables(cells, blank), **from_paper(row, texts)}
            for row, cells in zip(section.published, errors.parts[-1].rows, strict=True)
        ]
    corruptions = list(dict.fromkeys(map(corruption_of, section.domains)))
    return {
        "benchmark": section.benchmark,
        "setting": section.setting,
        "model": section.model,
        "set": section.chosen,
        "tables": [
            {
                "title": "Results",
                "head": [errors.head[1], *errors.head[last:], *beside.head[1:]],
                "bar": 1,  # the mean's column, beside which its interval is drawn
                "notes": [*errors.notes, *beside.notes],
            },
            {
                "title": "Error in % on each domain",
                "head": [*errors.head[first:last], errors.head[last]],
                "shaded": True,
                "notes": [],
            },
        ],
        "parts": parts,
        "rows": rows,
        "domains": [short(domain) for domain in section.domains],
        "corruptions": [corruptions.index(corruption_of(d)) for d in section.domains],
        "segments": met.marks(),
        "config": common,
        "hashes": {
            "protocol_sha256": section.protocol_sha256,
            "weights_sha256": section.lines[0].row.results[0].model["weights_sha256"],
        },
        "streams": [
            {"stream_sha256": stream, "data_sha256": data}
            for stream, data in section.streams.items()
        ],
    }


def from_paper(row: PublishedRow, texts: Texts) -> Json:
    """The name of a published row, and where it stands."""
    return {"name": row.method, "published": texts.number(evidence(row))}


def evidence(row: PublishedRow) -> str:
    """Where a published number stands, and what to know of it."""
    return "; ".join(filter(None, [f"{row.source}, {row.table}", row.evidence, row.note]))


def measured(line: Line, section: Section, streams: Sequence[str], texts: Texts) -> Json:
    """A row's mean and interval, its errors run by run, and its protocol."""
    first = line.entries[0].entry
    result = first.result
    own = [filed.entry for filed in line.entries]
    interval = line.row.interval(HEADLINE)
    order = [section.domains.index(d) for d in line.row.results[0].error_by_domain]
    found: Json = {
        "id": result.identity[:12],
        "name": line.name,
        "method": line.method,
        "version": result.method.version,
        "label": line.label,
        "marks": line.marks,
        "control": line.control,
        "verified": not line.unverified,
        "mean": round(line.row.mean(HEADLINE), 4),
        "interval": interval and [round(interval.low, 4), round(interval.high, 4)],
        "published_by": line.published and texts.number(evidence(line.published)),
        "orders": [
            [streams.index(stream), [errors(one, section.domains) for one in runs]]
            for stream, runs in line.row.streams.items()
        ],
        "runs": [run(filed, streams) for filed in line.entries],
        "command": command(line),
        "authors": texts.number(", ".join(dict.fromkeys(a for e in own for a in e.authors))),
        "hardware": texts.number("; ".join(dict.fromkeys(e.hardware for e in own))),
        "tuning": texts.number("; ".join(dict.fromkeys(e.tuning.statement for e in own))),
        "environment": texts.number(flat(result.environment)),
        "links": {"paper": first.paper, "code": first.code},
    }
    if order != sorted(order):
        found["order"] = order  # in which the statistics draw corruptions
    if result.artefact is not None:
        found["artefact"] = texts.number(flat(result.artefact.model_dump()))
    return found


def errors(result: Result, domains: Sequence[str]) -> list[int]:
    """The error of a run on each domain, in 1 / ``POINT`` of a point."""
    return [round(POINT * result.error_by_domain[domain]) for domain in domains]


def run(filed: Filed, streams: Sequence[str]) -> Json:
    """One run of a row: seeds, hashes, downloads."""
    result = filed.entry.result
    return {
        "identity": result.identity,
        "stream": streams.index(result.stream.stream_sha256),
        "seeds": [result.seeds["stream"], result.seeds["method"]],
        "error": f"{result.metrics[HEADLINE]:.2f}",
        "trace_sha256": result.trace_sha256,
        "trace": trace_link(filed),
        "unverified": filed.unverified,
    }


def trace_link(filed: Filed) -> str | bool:
    """Where the trace lies; True: beside the entry; False: the entry has none."""
    trace = filed.entry.trace
    return False if trace is None else trace.link or True


def command(line: Line) -> str:
    """What to type to run all of a row again: values that differ are swept."""
    reruns = [filed.entry.rerun for filed in line.entries]
    first = reruns[0]
    values: dict[str, str] = dict(first.groups)
    for key in dict.fromkeys(key for rerun in reruns for key in rerun.overrides):
        found = [rerun.overrides.get(key, 0) for rerun in reruns]  # a seed's default
        values[key] = ",".join(dict.fromkeys(map(typed, found)))
    swept = " -m" if any("," in value for value in values.values()) else ""
    return f"ctta run{swept} " + " ".join(f"{key}={value}" for key, value in values.items())


class Met:
    """The segments of the streams that were met.

    Args:
        shelf: of the streams.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.found: dict[str, tuple[Segment, ...]] = {}

    def of(self, entry: Entry) -> tuple[Segment, ...]:
        """Of an entry's stream."""
        stream = entry.result.stream.stream_sha256
        if stream not in self.found:
            self.found[stream] = tuple(segments(self.shelf.shared(entry)))
        return self.found[stream]

    def marks(self) -> list[Json]:
        """To draw; none where the orders differ in them."""
        distinct = set(self.found.values())
        (found,) = distinct if len(distinct) == 1 else ((),)
        return [{"start": round(own.start, 5), "domain": short(own.domain)} for own in found]


def along(line: Line, met: Met) -> list[float | None] | None:
    """The error along the stream to a tenth of a point; None without a trace."""
    parts = []
    for filed in line.entries:
        if not filed.unverified:
            n = n_parts(len(met.of(filed.entry)))
            parts.append(error_in_parts(met.shelf.wrong(filed), n))
    if not parts:
        return None
    return [None if np.isnan(e) else round(float(e), 1) for e in np.mean(parts, axis=0)]


def shared_by_all(nodes: Sequence[Mapping[str, Any]]) -> Json:
    """Keys that have one value in all ``nodes``."""
    first, *others = ({key: json.dumps(v) for key, v in node.items()} for node in nodes)
    same = [key for key in first if all(other.get(key) == first[key] for other in others)]
    return {key: nodes[0][key] for key in same}


def published_panels(sections: Sequence[Section], texts: Texts) -> list[Json]:
    """Published numbers of benchmarks and settings in which nothing was measured."""
    shown = {id(row) for section in sections for row in section.published}
    groups: dict[tuple[str, str], list[PublishedRow]] = {}
    for row in published_rows():
        if id(row) not in shown:
            groups.setdefault((row.benchmark, row.setting), []).append(row)
    return [published_panel(*key, rows, texts) for key, rows in groups.items()]


PUBLISHED_HEAD = ("value", "std", "severity", "rounds", "images", "batch", "order")


def published_panel(
    benchmark: str, setting: str, published: Sequence[PublishedRow], texts: Texts
) -> Json:
    """Rows that say the same of model and metric in a part each; none of them is ranked."""
    names = list(dict.fromkeys(c for row in published for c in row.by_corruption or ()))
    groups: dict[tuple[str, str], list[PublishedRow]] = {}
    for row in published:
        groups.setdefault((row.architecture, row.metric), []).append(row)
    rows: list[Json] = []
    parts = []
    for (architecture, metric), own in groups.items():
        part: Json = {"heading": f"{architecture}: {metric}", "published": True, "rows": []}
        if metric != HEADLINE:
            part["plain"] = True  # a shade would say the contrary where higher is better
        parts.append(part)
        for row in sorted(own, key=lambda row: row.method):
            part["rows"].append(len(rows))
            facts = (row.value, row.std, row.severity, row.rounds, row.n_images, row.batch_size)
            cells = ["" if fact is None else f"{fact}" for fact in facts]
            by_name = row.by_corruption or {}
            rows.append(
                {
                    **from_paper(row, texts),
                    "cells": [
                        [*cells, row.order],
                        [f"{by_name[name]:g}" if name in by_name else "" for name in names],
                    ],
                    "bold": [[], []],
                }
            )
    sources = about().sources
    notes = [
        "Numbers from papers and logs; protocols may differ between rows, and none is ranked",
        *dict.fromkeys(f"{row.source}: {sources[row.source]}" for row in published),
    ]
    tables: list[Json] = [{"title": "Published numbers", "head": [*PUBLISHED_HEAD], "notes": notes}]
    if names:
        head = [short(name) for name in names]
        tables.append({"title": "On each domain", "head": head, "shaded": True, "notes": []})
    return {
        "benchmark": benchmark,
        "setting": setting,
        "model": None,
        "tables": tables,
        "parts": parts,
        "rows": rows,
    }
