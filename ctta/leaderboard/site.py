"""The page: one HTML file that works from a folder, loads nothing, and is whole without scripts."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ctta.leaderboard.board import Board, Line, Section
from ctta.leaderboard.entry import typed
from ctta.leaderboard.formats import html
from ctta.leaderboard.sheets import label, sheets, title
from ctta.leaderboard.shelf import Filed, Problem, Shelf
from ctta.results.compare import flat
from ctta.results.result import write_text
from ctta.results.rows import HEADLINE

PARTS = Path(__file__).parent / "page"
ROW_HEIGHT, LABEL_WIDTH, WIDTH = 24, 230, 640


def build(board: Board, shelf: Shelf, folder: Path) -> Path:
    """Write ``index.html`` to ``folder``; an earlier one stays until the new one is whole.

    Args:
        board: what to show.
        shelf: of the entries, to which the page links.
        folder: is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    entries = Path(os.path.relpath(shelf.root.resolve(), folder.resolve())).as_posix()
    write_text(path, page(board, entries))
    return path


def page(board: Board, entries: str) -> str:
    """The whole document.

    Args:
        board: what to show.
        entries: the folder of entries as the page's links have it.
    """
    style = (PARTS / "page.css").read_text(encoding="utf-8")
    script = (PARTS / "page.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src {allowed(style)}; script-src {allowed(script)}"
    tabs = "".join(
        f'<button role="tab" type="button" id="tab{i}" aria-controls="panel{i}" '
        f'aria-selected="{"false" if i else "true"}">{escape(title(section))}</button> '
        for i, section in enumerate(board.sections)
    )
    panels = "\n".join(panel(i, section, entries) for i, section in enumerate(board.sections))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Continual test-time adaptation: leaderboard</title><style>{style}</style>",
            "</head><body><main>",
            "<h1>Continual test-time adaptation: leaderboard</h1>",
            problems([problem for problem in board.problems if not problem.question]),
            f'<div role="tablist" aria-label="Benchmarks and settings" data-script hidden>{tabs}'
            "</div>",
            panels,
            f"</main><script>{script}</script></body></html>",
            "",
        ]
    )


def allowed(text: str) -> str:
    """What a content policy calls an inline style or script by."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def problems(found: Sequence[Problem]) -> str:
    """Entries that are left out, and why."""
    if not found:
        return ""
    lines = "".join(f"<li>{escape(str(problem))}</li>" for problem in found)
    return f'<section class="problems"><h2>Left out</h2><ul>{lines}</ul></section>'


def panel(number: int, section: Section, entries: str) -> str:
    """One section."""
    tables = "\n".join(f'<div class="wide">{html.render([s])}</div>' for s in sheets(section))
    rows = "\n".join(details(line, entries) for line in section.lines)
    return "\n".join(
        [
            f'<section role="tabpanel" id="panel{number}" aria-labelledby="tab{number}">',
            f"<h2>{escape(title(section))}</h2>",
            '<p data-script hidden><label>Methods with <input type="search"></label></p>',
            bars(section),
            tables,
            f"<h3>Rows</h3>\n{rows}</section>",
        ]
    )


def bars(section: Section) -> str:
    """Mean errors with their intervals, as a picture."""
    lines = section.lines
    means = [line.row.mean(HEADLINE) for line in lines]
    intervals = [line.row.interval(HEADLINE) for line in lines]
    most = max([*means, *(i.high for i in intervals if i is not None)], default=0) or 1

    def x(value: float) -> str:
        return f"{LABEL_WIDTH + (WIDTH - LABEL_WIDTH - 70) * max(value, 0) / most:.1f}"

    marks = []
    for i, (line, mean, interval) in enumerate(zip(lines, means, intervals, strict=True)):
        y = ROW_HEIGHT * (i + 0.5)
        marks.append(f'<text x="0" y="{y + 5}">{escape(label(line))}</text>')
        if interval is not None:
            low, high = x(interval.low), x(interval.high)
            marks.append(f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>')
        marks.append(f'<circle cx="{x(mean)}" cy="{y}" r="4"/>')
        marks.append(f'<text x="{WIDTH - 55}" y="{y + 5}">{mean:.2f}</text>')
    said = "; ".join(f"{label(line)} {mean:.2f}" for line, mean in zip(lines, means, strict=True))
    return (
        f'<div class="wide"><svg role="img" width="{WIDTH}" height="{ROW_HEIGHT * len(lines)}" '
        f'aria-label="{escape(f"Mean error in % with 95 % intervals: {said}")}">'
        f"{''.join(marks)}</svg></div>"
    )


def details(line: Line, entries: str) -> str:
    """A row's protocol: what was run, by whom, and how to run it again."""
    first = line.entries[0].entry
    own = [filed.entry for filed in line.entries]
    about = {
        "authors": ", ".join(dict.fromkeys(a for entry in own for a in entry.authors)),
        "hardware": "; ".join(dict.fromkeys(entry.hardware for entry in own)),
        "tuning": "; ".join(dict.fromkeys(entry.tuning.statement for entry in own)),
    }
    links = [
        f'<a href="{escape(link)}" rel="noopener noreferrer">{name}</a>'
        for name, link in (("paper", first.paper), ("code", first.code))
        if link
    ]
    shown = flat(
        {
            "method version": first.result.method.version,
            "protocol_sha256": first.result.stream.protocol_sha256,
            "weights_sha256": first.result.model["weights_sha256"],
            "environment": first.result.environment,
            "config": first.result.config,
        }
    )
    return "".join(
        [
            f"<details><summary>{escape(label(line))}</summary>",
            *(f"<p>{name}: {escape(text)}</p>" for name, text in about.items()),
            f"<p>{', '.join(links)}</p>" if links else "",
            f"<pre>{escape(command(line))}</pre>",
            '<button type="button" class="copy" data-script hidden>Copy</button>',
            f"<ul>{''.join(run(filed, entries) for filed in line.entries)}</ul>",
            f"<p>Configuration and environment of the first run:</p>"
            f"<pre>{escape(chr(10).join(f'{key}: {value}' for key, value in shown.items()))}</pre>",
            "</details>",
        ]
    )


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


def run(filed: Filed, entries: str) -> str:
    """One run of a row: seeds, hashes, downloads."""
    result = filed.entry.result
    links = [f'<a href="{escape(f"{entries}/{filed.where}")}" download>record</a>']
    if filed.verifiable:
        trace = f"{entries}/{filed.where.removesuffix('.json')}.npz"
        links.append(f'<a href="{escape(trace)}" download>trace</a>')
    else:
        links.append("not verifiable")
    return (
        f"<li>stream seed {result.seeds['stream']}, method seed {result.seeds['method']}, "
        f"stream {escape(result.stream.stream_sha256[:12])}, "
        f"trace {escape(str(result.trace_sha256)[:12])}: {', '.join(links)}</li>"
    )
