"""Error along the stream, with its segments marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctta.leaderboard.board import Line, Section
from ctta.leaderboard.plots.choice import of_all
from ctta.leaderboard.plots.style import head, new_figure, style, worded
from ctta.leaderboard.sheets import title
from ctta.online.trace import Trace
from ctta.results.metrics import error_along_stream
from ctta.results.statistics import corruption_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 20  # stretches that have room for a name
POINTS = 1200  # of a line: what can be seen


def draw(section: Section, lines: Sequence[Line], traces: Mapping[str, Sequence[Trace]]) -> Figure:
    """Error over a window, the mean over the orders.

    Args:
        section: of the lines.
        lines: to show.
        traces: line's name -> its runs.
    """
    first = traces[lines[0].name][0]
    window = max(64, len(first) // 60)
    figure, axes = new_figure(7.2, 3.4)
    for i, line in enumerate(lines):
        own = style(i)
        error = np.mean([error_along_stream(t, window) for t in traces[line.name]], axis=0)
        places = np.unique(np.linspace(0, len(error) - 1, POINTS).astype(int))
        axes.plot(
            places,
            error[places],
            color=own.colour,
            linestyle=own.dash,
            linewidth=1.3,
            marker=own.marker,
            markersize=4,
            markevery=(i * 9, 80),
            label=line.label,
        )
    mark_segments(axes, first, section.lines[0].row.results[0].config["stream"].get("rounds") or 1)
    axes.set_xlim(0, len(first))
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"error over {window} images (%)")
    axes.yaxis.grid(True, color="0.88", linewidth=0.7)
    shown = filter(None, [f"mean of {len(section.streams)} orders", of_all(section, lines)])
    head(figure, title(section), "; ".join(shown))
    figure.legend(loc="outside lower center", ncols=min(len(lines), 5))
    return figure


def mark_segments(axes: object, trace: Trace, rounds: int) -> None:
    """A thin line where a segment begins; names where the corruption changes, else the rounds."""
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    starts = starts_of(trace)
    names = [trace.domain_names[trace.samples["domain"][s]] for s in starts]
    for start in starts[1:]:
        axes.axvline(start, color="0.85", linewidth=0.6, zorder=0)
    if len(starts) == 1:
        axes.set_xlabel("images, one segment")
        return
    stretches = [
        (name, next(own)[0])
        for name, own in groupby(
            zip(starts, map(corruption_of, names), strict=True), lambda p: p[1]
        )
    ]
    begins = [begin for _, begin in stretches]
    if rounds > 1 or len(begins) > MOST_NAMED:
        edges = np.linspace(0, len(begins), rounds + 1).astype(int)
        begins = [begins[edge] for edge in edges[:-1]]
        texts = [f"round {i + 1} of {rounds}" for i in range(rounds)] if rounds > 1 else []
    else:
        texts = [worded(name) for name, _ in stretches]
    for begin in begins[1:]:
        axes.axvline(begin, color="0.6", linewidth=0.8, zorder=0)
    if texts:
        middles = (np.array(begins) + np.array([*begins[1:], len(trace)])) / 2
        slant = 35 if rounds == 1 else 0
        axes.set_xticks(
            middles,
            texts,
            rotation=slant,
            ha="right" if slant else "center",
            rotation_mode="anchor",
        )
        axes.tick_params(axis="x", length=0)


def starts_of(trace: Trace) -> list[int]:
    """Where each segment begins."""
    segment: NDArray[np.int64] = trace.samples["segment"]
    return [0, *(np.flatnonzero(np.diff(segment)) + 1).tolist()]
