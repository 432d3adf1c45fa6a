"""The page: one HTML file that works from a folder and loads nothing.

Its content is JSON in the document; the scripts in `page/` make every view from it, and only text
nodes from its strings.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from html import escape
from pathlib import Path

from ctta.leaderboard.board import Board
from ctta.leaderboard.page_data import page_data
from ctta.leaderboard.shelf import Shelf
from ctta.results.result import write_text

PARTS = Path(__file__).parent / "page"
SCRIPTS = ("dom", "paired", "pictures", "table", "panel", "row", "compare", "start")
TITLE = "Continual test-time adaptation: leaderboard"


def build(board: Board, shelf: Shelf, folder: Path) -> Path:
    """Write ``index.html`` to ``folder``; an earlier one stays until the new one is whole.

    Args:
        board: what to show.
        shelf: of the entries, to which the page links.
        folder: is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    write_text(path, page(board, shelf, relative(shelf.root, folder)))
    return path


def relative(place: Path, start: Path) -> str:
    """``place`` as a link from ``start`` has it."""
    return Path(os.path.relpath(place.resolve(), start.resolve())).as_posix()


def page(board: Board, shelf: Shelf, entries: str) -> str:
    """The whole document.

    Args:
        board: what to show.
        shelf: of the entries, for their traces.
        entries: the folder of entries as the page's links have it.
    """
    style = (PARTS / "page.css").read_text(encoding="utf-8")
    script = "\n".join((PARTS / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; style-src {allowed(style)}; script-src {allowed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(
        page_data(board, shelf, entries), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{TITLE}</title><style>{style}</style>",
            "</head><body>",
            f'<header><h1><a href="#/">{TITLE}</a></h1></header>',
            "<main><noscript><p>This page is drawn by a script of its own; the same tables as text "
            "come from <code>ctta leaderboard table</code>.</p></noscript></main>",
            f'<script type="application/json" id="data">{in_script(data)}</script>',
            f"<script>{script}</script></body></html>",
            "",
        ]
    )


def allowed(text: str) -> str:
    """What a content policy calls an inline style or script by."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def in_script(text: str) -> str:
    """JSON that cannot end the element it stands in."""
    return text.replace("<", "\\u003c")
