"""Critical-difference diagram: mean ranks over the corruptions, and what is not told apart.

Source: J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006,
figure 1. With Wilcoxon's tests of pairs in place of Nemenyi's, as proposed by A. Benavoli, G.
Corani and F. Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 17, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctta.leaderboard.board import Line, Section
from ctta.leaderboard.plots.corruptions import error
from ctta.leaderboard.plots.style import head, new_figure
from ctta.leaderboard.sheets import title
from ctta.results.significance import (
    cliques,
    critical_difference,
    friedman,
    mean_ranks,
    told_apart_by_ranks,
    told_apart_in_pairs,
)
from ctta.results.statistics import by_group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TESTS = ("nemenyi", "wilcoxon")
LEAST = 3  # methods, and corruptions


def draw(sections: Sequence[Section], lines: Sequence[Sequence[Line]], test: str) -> Figure:
    """The methods that all sections have, ranked on each corruption of each.

    Args:
        sections: whose corruptions are taken together.
        lines: of each section.
        test: one of `TESTS`.

    Raises:
        ValueError: too few methods or corruptions.
    """
    names, errors = table(sections, lines)
    n, k = errors.shape
    if k < LEAST or n < LEAST:
        raise ValueError(f"expected {LEAST} methods and {LEAST} corruptions, got {k} and {n}")
    ranks = mean_ranks(errors)
    apart = told_apart_by_ranks(errors) if test == "nemenyi" else told_apart_in_pairs(errors)
    groups = cliques(ranks, apart)
    figure, axes = new_figure(7.2, 1.4 + 0.22 * ((k + 1) // 2) + 0.12 * len(groups))
    below = axis(axes, k, groups, ranks)
    names_beside(axes, names, ranks, below)
    if test == "nemenyi":
        width = critical_difference(k, n)
        axes.plot([1, 1 + width], [1.3, 1.3], color="black", linewidth=1.5, marker="|")
        axes.text(1 + width + 0.2, 1.3, f"critical difference {width:.2f}", va="center", fontsize=8)
    statistic, p = friedman(errors)
    over = f" of {len(sections)} settings" if len(sections) > 1 else ""
    how = "Nemenyi" if test == "nemenyi" else "Wilcoxon in pairs, Holm"
    head(figure, *map(title, sections))
    figure.supxlabel(
        f"Mean ranks over {n} corruptions{over}; joined by a bar: not told apart ({how}, 5 %).\n"
        f"Friedman: chi² = {statistic:.1f}, {k - 1} degrees of freedom, "
        f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}",
        x=0.01,
        ha="left",
        fontsize=8,
    )
    return figure


def table(
    sections: Sequence[Section], lines: Sequence[Sequence[Line]]
) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the methods that all sections have, and their errors [corruptions, methods]."""
    found = [{line.name: line for line in own} for own in lines]
    names = [name for name in found[0] if all(name in own for own in found)]
    rows = [
        [error(own[name], corruption)[0] for name in names]
        for section, own in zip(sections, found, strict=True)
        for corruption in by_group(dict.fromkeys(section.domains, 0.0))
    ]
    return [marked([own[name] for own in found]) for name in names], np.round(np.array(rows), 9)


def marked(lines: Sequence[Line]) -> str:
    """A method's name with the marks that it has in any setting, and whether it had other means."""
    marks = dict.fromkeys(mark for line in lines for mark in line.marks)
    if lines[0].row.results[0].method.uses_source_data:
        marks["source data"] = None
    return f"{lines[0].name} ({', '.join(marks)})" if marks else lines[0].name


def axis(axes: Axes, k: int, groups: Sequence[Sequence[int]], ranks: NDArray[np.float64]) -> float:
    """The ranks from 1 to ``k``, with bars below that join what is not told apart.

    Returns:
        Below what height there is room.
    """
    axes.set_axis_off()
    axes.plot([1, k], [0, 0], color="black", linewidth=1)
    for rank in range(1, k + 1):
        axes.plot([rank, rank], [0, 0.18], color="black", linewidth=1)
        axes.text(rank, 0.28, str(rank), ha="center", va="bottom", fontsize=8)
    height = -0.35
    for group in groups:
        ends = [min(ranks[group]) - 0.06, max(ranks[group]) + 0.06]
        axes.plot(ends, [height, height], color="black", linewidth=3, solid_capstyle="butt")
        height -= 0.3
    return height - 0.2


def names_beside(
    axes: Axes, names: Sequence[str], ranks: NDArray[np.float64], below: float
) -> None:
    """The better half to the left of the axis, the others to the right, each with its rank."""
    k = len(names)
    order = [int(i) for i in np.argsort(ranks, kind="stable")]
    half = (k + 1) // 2
    for place, i in enumerate(order):
        left = place < half
        row = place if left else k - 1 - place
        y, edge = below - 0.55 * row, (0.6 if left else k + 0.4)
        axes.plot([ranks[i], ranks[i], edge], [0, y, y], color="0.35", linewidth=0.7, zorder=0)
        text = f"{names[i]}  {ranks[i]:.2f}" if left else f"{ranks[i]:.2f}  {names[i]}"
        side = "right" if left else "left"
        axes.text(edge + (-0.1 if left else 0.1), y, text, ha=side, va="center", fontsize=8)
    axes.set_xlim(0.4 - 0.28 * k, 1.28 * k + 0.6)
