"""Error on each corruption: a bar a method, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctta.leaderboard.board import Line, Section
from ctta.leaderboard.plots.choice import of_all
from ctta.leaderboard.plots.style import head, new_figure, style, worded
from ctta.leaderboard.sheets import title
from ctta.results.rows import HEADLINE
from ctta.results.statistics import Interval, by_group, student

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(section: Section, lines: Sequence[Line]) -> Figure:
    """Severities of a corruption are averaged; beside the corruptions stands their mean."""
    names = list(by_group(dict.fromkeys(section.domains, 0.0)))
    width = 0.84 / len(lines)
    figure, axes = new_figure(max(7.2, 0.075 * len(lines) * (len(names) + 1)), 3.8)
    for i, line in enumerate(lines):
        own = style(i)
        bars = [error(line, name) for name in names]
        bars.append((line.row.mean(HEADLINE), line.row.interval(HEADLINE)))
        axes.bar(
            [place - 0.42 + width * (i + 0.5) for place in range(len(bars))],
            [mean for mean, _ in bars],
            width,
            yerr=[interval.half if interval is not None else 0.0 for _, interval in bars],
            label=f"{line.label}, {line.row.mean(HEADLINE):.1f}",
            facecolor=own.colour,
            edgecolor="white" if own.colour == "#000000" else "black",
            hatch=own.hatch,
            linewidth=0.5,
            error_kw={"linewidth": 0.7, "ecolor": "0.35"},
        )
    axes.axvline(len(names) - 0.5, color="0.3", linewidth=0.8)
    axes.set_xticks(
        range(len(names) + 1),
        [*map(worded, names), "mean"],
        rotation=35,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.6, len(names) + 0.6)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("error (%)")
    axes.yaxis.grid(True, color="0.88", linewidth=0.7)
    head(figure, title(section), of_all(section, lines))
    figure.legend(loc="outside lower center", ncols=min(len(lines), 5), title="method, mean error")
    return figure


def error(line: Line, corruption: str) -> tuple[float, Interval | None]:
    """Mean over the runs of the error on all severities of a corruption, and Student's interval."""
    runs = []
    for own in line.row.streams.values():
        groups = [by_group(result.error_by_domain)[corruption] for result in own]
        runs.append([total / n for total, n in groups])
    values = [value for own in runs for value in own]
    return sum(map(sum, runs)) / len(values), student(runs)
