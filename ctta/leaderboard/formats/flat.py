"""One record a row with every digit: JSON, and CSV that reads back to the same numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ctta.leaderboard.board import Group, Line, Section
from ctta.leaderboard.published import PublishedRow
from ctta.leaderboard.sheets import COSTS, METRICS, average, cost
from ctta.results.rows import HEADLINE
from ctta.results.statistics import corruption_of

Record = dict[str, Any]
FORMULA = ("=", "+", "-", "@", "\t", "'")  # what a spreadsheet would calculate, and our own mark


def records(sections: Sequence[Section]) -> list[Record]:
    """All rows, measured ones before published ones in each section."""
    found = []
    for section in sections:
        common = {
            "benchmark": section.benchmark,
            "setting": section.setting,
            "model": section.model,
            "protocol_sha256": section.protocol_sha256,
            "orders": len(section.streams),
        }
        for group in section.groups:
            found += [{**common, **measured(line, group, section)} for line in group.lines]
        found += [{**common, **published(row, section)} for row in section.published]
    return found


def measured(line: Line, group: Group, section: Section) -> Record:
    """A row of runs."""
    interval = line.row.estimate(HEADLINE).t
    entries = [filed.entry for filed in line.entries]
    return {
        "kind": "measured",
        "method": line.name,
        "version": line.row.results[0].method.version,
        "uses_source_data": group.uses_source_data,
        "equally_tuned": group.equal,
        "control": line.control,
        "verification": line.unverified or "verified",
        "over": line.row.varied,
        "rank": line.rank,
        "error_pct": line.row.mean(HEADLINE),
        "t95_low": None if interval is None else interval.low,
        "t95_high": None if interval is None else interval.high,
        **{f"error {d}": line.row.mean(d) for d in section.domains},
        **{metric: average(line.row, metric) for metric in METRICS.values()},
        **{name: cost(line.row, read) for name, read in COSTS.items()},
        "published": None if line.published is None else line.published.value,
        "difference": line.difference,
        "source": None if line.published is None else line.published.source,
        "authors": "; ".join(dict.fromkeys(a for entry in entries for a in entry.authors)),
        "tuning": "; ".join(dict.fromkeys(entry.tuning.statement for entry in entries)),
        "hardware": "; ".join(dict.fromkeys(entry.hardware for entry in entries)),
    }


def published(row: PublishedRow, section: Section) -> Record:
    """A row of a paper."""
    cells = row.by_corruption or {}
    return {
        "kind": "published",
        "method": row.method,
        "error_pct": row.value,
        **{f"error {d}": cells.get(corruption_of(d)) for d in section.domains},
        "source": f"{row.source}, {row.table} ({row.evidence})",
    }


def to_json(sections: Sequence[Section]) -> str:
    """A list of records."""
    return json.dumps(records(sections), indent=1, allow_nan=False) + "\n"


def to_csv(sections: Sequence[Section]) -> str:
    """A header and a line a record; a text that begins as a formula does gets a mark in front."""
    rows = records(sections)
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: spelt(v) for k, v in row.items()} for row in rows)
    return buffer.getvalue()


def spelt(value: Any) -> Any:
    """A value of a cell."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else str(value) if isinstance(value, bool) else value
