"""Mean error of each round of a recurring stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctta.leaderboard.board import Line, Section
from ctta.leaderboard.plots.choice import of_all
from ctta.leaderboard.plots.style import head, new_figure, style
from ctta.leaderboard.sheets import title
from ctta.online.trace import Trace
from ctta.results.metrics import error_by_visit
from ctta.results.statistics import student

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def n_rounds(section: Section) -> int:
    """How often the corruptions of a section come.

    Raises:
        ValueError: once.
    """
    rounds = section.lines[0].row.results[0].config["stream"].get("rounds") or 1
    if rounds < 2:
        raise ValueError(
            f"--setting: expected one with several rounds, got {section.setting}, which has one"
        )
    return int(rounds)


def draw(section: Section, lines: Sequence[Line], traces: Mapping[str, Sequence[Trace]]) -> Figure:
    """A line a method over the rounds, with Student's intervals of the orders.

    Args:
        section: of the lines.
        lines: to show.
        traces: line's name -> its runs.

    Raises:
        ValueError: the stream has one round.
    """
    rounds = n_rounds(section)
    figure, axes = new_figure(6.0, 3.4)
    for i, line in enumerate(lines):
        own = style(i)
        errors = np.array([by_round(trace, rounds) for trace in traces[line.name]])
        intervals = [student(column[:, None].tolist()) for column in errors.T]
        shift = 0.24 * (i / max(len(lines) - 1, 1) - 0.5)
        axes.errorbar(
            np.arange(1, rounds + 1) + shift,
            errors.mean(0),
            yerr=[0.0 if interval is None else interval.half for interval in intervals],
            color=own.colour,
            linestyle=own.dash,
            marker=own.marker,
            markersize=5,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
            label=line.label,
        )
    axes.set_xticks(range(1, rounds + 1))
    axes.set_xlim(0.6, rounds + 0.4)
    axes.set_xlabel("round")
    axes.set_ylabel("mean error (%)")
    axes.yaxis.grid(True, color="0.88", linewidth=0.7)
    head(figure, title(section), of_all(section, lines))
    figure.legend(loc="outside right upper")
    return figure


def by_round(trace: Trace, rounds: int) -> NDArray[np.float64]:
    """Mean over the visits of each round, which has as many as every other, [rounds]."""
    return np.asarray(np.nanmean(error_by_visit(trace).reshape(rounds, -1), axis=1))
