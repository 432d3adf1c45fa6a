"""HTML tables, without a page around them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ctta.leaderboard.sheets import Cell, Sheet


def cell(content: Cell) -> str:
    """With its emphasis."""
    text = escape(content.text)
    if text and content.bold:
        text = f"<strong>{text}</strong>"
    return f"<em>{text}</em>" if text and content.italic else text


def render(sheets: Sequence[Sheet]) -> str:
    """A table each, with headers that screen readers follow."""
    blocks = []
    for sheet in sheets:
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in sheet.head)
        lines = [
            "<table>",
            f"<caption>{escape(sheet.title)}</caption>",
            f"<thead><tr>{head}</tr></thead>",
        ]
        for part in sheet.parts:
            lines.append(
                f'<tbody><tr><th scope="rowgroup" colspan="{len(sheet.head)}">'
                f"{escape(part.heading)}</th></tr>"
            )
            for first, *others in part.rows:
                cells = "".join(f"<td>{cell(other)}</td>" for other in others)
                lines.append(f'<tr><th scope="row">{cell(first)}</th>{cells}</tr>')
            lines.append("</tbody>")
        notes = "".join(f"<li>{escape(note)}</li>" for note in sheet.notes)
        blocks.append("\n".join([*lines, "</table>", f"<ul>{notes}</ul>"]))
    return "\n".join(blocks) + "\n"
