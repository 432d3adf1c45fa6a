"""Error against cost, and the methods that no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctta.leaderboard.board import Line, Section
from ctta.leaderboard.plots.choice import of_all
from ctta.leaderboard.plots.style import head, new_figure, style
from ctta.leaderboard.sheets import COSTS, cost, title
from ctta.results.rows import HEADLINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {  # as typed -> as in a table
    "time": "ms an image",
    "flops": "MFLOPs an image",
    "memory": "peak MiB",
    "forwards": "forwards a batch",
}
ROOM = 1.08  # of an axis, from one name to the next
Point = tuple[float, float, Line]


def draw(section: Section, lines: Sequence[Line], kind: str) -> Figure:
    """Both axes logarithmic: lower and further left is better.

    Args:
        section: of the lines.
        lines: to show.
        kind: of the cost, one of `NAMES`.

    Raises:
        ValueError: no line has that cost.
    """
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    named = NAMES[kind]
    measured = [(cost(line.row, COSTS[named]), line.row.mean(HEADLINE), line) for line in lines]
    points = [(x, error, line) for x, error, line in measured if x is not None]
    if not points:
        raise ValueError(f"--cost: expected one that was measured, got {kind}")
    figure, axes = new_figure(6.8, 4.0)
    best = front(points)
    for i, (x, error, line) in enumerate(points):
        own = style(i)
        interval = line.row.interval(HEADLINE)
        axes.errorbar(
            x,
            error,
            yerr=0.0 if interval is None else interval.half,
            color=own.colour,
            marker=own.marker,
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.5,
            linestyle="none",
            elinewidth=0.8,
            label=f"{line.label}, {error:.1f}",
        )
    axes.step(
        [x for x, _, _ in best],
        [error for _, error, _ in best],
        where="post",
        color="0.4",
        linewidth=1,
        zorder=0,
    )
    for x, error, line in apart(best):
        axes.annotate(
            line.name,
            (x, error),
            xytext=(3, 6),
            textcoords="offset points",
            rotation=40,
            rotation_mode="anchor",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        plain = ScalarFormatter()
        plain.set_scientific(False)
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    edges = (*axes.get_xlim(), *axes.get_ylim())
    axes.set_xticks(ticks(*edges[:2]))
    axes.set_yticks(ticks(*edges[2:]))
    axes.set(xlim=edges[:2], ylim=(edges[2], edges[3] * 1.1))
    axes.grid(True, color="0.88", linewidth=0.7)
    axes.set_xlabel(named)
    axes.set_ylabel("mean error (%)")
    head(figure, title(section), of_all(section, lines))
    figure.legend(loc="outside right upper", title="method, mean error", fontsize=8)
    return figure


def front(points: Sequence[Point]) -> list[Point]:
    """Those that none beats in cost and error, from the cheapest."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: p[:2]):
        if not found or point[1] < found[-1][1]:
            found.append(point)
    return found


def apart(points: Sequence[Point]) -> list[Point]:
    """Those whose names have room beside each other."""
    found: list[Point] = []
    for point in points:
        if not found or point[0] > ROOM * found[-1][0] or ROOM * point[1] < found[-1][1]:
            found.append(point)
    return found


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two positive numbers, or all digits if those are few.

    Args:
        low: above 0.
        high: above ``low``.
    """
    powers = [10.0**power for power in range(-6, 9)]
    for digits in ((1, 2, 5), range(1, 10)):
        found = [digit * power for power in powers for digit in digits]
        found = [mark for mark in found if low <= mark <= high]
        if len(found) >= 3:
            break
    return found
