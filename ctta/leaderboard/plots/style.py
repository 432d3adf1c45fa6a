"""What all pictures share: colours, hatches, markers and dashes, and how a file is written.

Okabe and Ito's palette keeps apart for the colour-blind, and every series has a hatch, a marker or
a dash of its own beside its colour, which keeps it apart in grey.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctta.places import whole_file
from ctta.results.pictures import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "png", "svg")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo")
Dash = str | tuple[int, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)))
MOST = 24  # methods in a picture; no two of so many look alike
SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # letters that can be selected and that publishers take
    "text.parse_math": False,  # a name is a name, whatever is in it
    "svg.hashsalt": "ctta",  # the same picture, the same bytes
}


@dataclass(frozen=True)
class Style:
    """How one method looks."""

    colour: str
    hatch: str
    marker: str
    dash: Dash


def style(number: int) -> Style:
    """Of the method of that number; see `MOST`."""
    return Style(
        colour=COLOURS[number % len(COLOURS)],
        hatch=HATCHES[number % len(HATCHES)],
        marker=MARKERS[number % len(MARKERS)],
        dash=DASHES[number % len(DASHES)],
    )


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """One set of axes of that size in inches, without a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=200)
    return figure, figure.subplots()


def save(path: Path, draw: Callable[[], Figure]) -> Path:
    """Draw, and write in the format that the file's name ends in; the same bytes each time.

    Raises:
        ValueError: another ending, or what ``draw`` raises.
    """
    import matplotlib

    form = form_of(path)
    dates: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        draw().savefig(buffer, format=form, metadata=dates.get(form))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return path


def head(figure: Figure, *lines: str) -> None:
    """What is shown, above the axes and the legend."""
    figure.suptitle("\n".join(filter(None, lines)), x=0.01, ha="left", fontsize=8)


def worded(corruption: str) -> str:
    """A corruption's name as it is written."""
    return corruption.replace("_", " ")


def form_of(path: Path) -> str:
    """The format of a file by its name.

    Raises:
        ValueError: none of those that there are.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise ValueError(f"--to: expected a name that ends in .{', .'.join(FORMATS)}, got {path}")
    return form
