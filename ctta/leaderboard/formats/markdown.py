"""Markdown, and the place for it in a README."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ctta.leaderboard.board import Section
from ctta.leaderboard.sheets import Cell, Sheet, sheets

SPECIAL = re.compile(r"([\\`*_{}\[\]#!|~$])")
# Tags, entities, mentions and addresses that become links by themselves.
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
MARKER = re.compile(r"<!-- leaderboard ([a-z0-9_]+(?:/[a-z0-9_]+)?) -->")
LINK = re.compile(r"(?i):(?=//)|(?<=\bwww)\.")


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    safe = SPECIAL.sub(r"\\\1", text)
    safe = "".join(ENTITIES.get(c, c) for c in safe)
    return LINK.sub(lambda found: f"&#{ord(found[0])};", safe)


def cell(content: Cell) -> str:
    """With its emphasis."""
    text = escape(content.text)
    if not text:
        return ""
    text = f"**{text}**" if content.bold else text
    return f"*{text}*" if content.italic else text


def render(found: Sequence[Sheet]) -> str:
    """A heading, a table and its notes for each sheet."""
    blocks = []
    for sheet in found:
        width = len(sheet.head)
        lines = [line(map(escape, sheet.head)), line(["---", *["---:"] * (width - 1)])]
        for part in sheet.parts:
            lines.append(line([f"*{escape(part.heading)}*", *[""] * (width - 1)]))
            lines += [line(map(cell, row)) for row in part.rows]
        remarks = "\n".join(f"- {escape(note)}" for note in sheet.notes)
        blocks.append("\n".join([f"**{escape(sheet.title)}**", "", *lines, "", remarks]))
    return "\n\n".join(blocks) + "\n"


def line(cells: Iterable[str]) -> str:
    """One row."""
    return "| " + " | ".join(cells) + " |"


def with_tables(document: str, sections: Sequence[Section]) -> str:
    """``document`` with the tables that its markers name: a benchmark's, or of one setting.

    Raises:
        ValueError: no markers, a name that no section has, or markers that do not match.
    """
    names = MARKER.findall(document)
    if not names:
        raise ValueError("expected '<!-- leaderboard BENCHMARK -->', found no such marker")
    for name in names:
        benchmark, _, setting = name.partition("/")
        own = [s for s in sections if s.benchmark == benchmark and setting in ("", s.setting)]
        if not own:
            known = dict.fromkeys(f"{s.benchmark}/{s.setting}" for s in sections)
            raise ValueError(f"<!-- leaderboard {name} -->: expected one of {', '.join(known)}")
        document = put_between(document, name, render([s for o in own for s in sheets(o)]))
    return document


def put_between(document: str, name: str, text: str) -> str:
    """``document`` with ``text`` between the markers of ``name``.

    Raises:
        ValueError: it has no such markers, or several.
    """
    begin, end = f"<!-- leaderboard {name} -->", f"<!-- end of leaderboard {name} -->"
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"expected the lines '{begin}' and '{end}', once each")
    before, rest = document.split(begin)
    if end not in rest:
        raise ValueError(f"expected '{begin}' before '{end}'")
    after = rest.split(end)[1]
    return f"{before}{begin}\n{text}{end}{after}"
