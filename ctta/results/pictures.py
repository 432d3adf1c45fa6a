"""Two pictures of several runs: error per corruption, and error along the stream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctta.online.trace import Trace
from ctta.results.metrics import error_along_stream
from ctta.results.result import Result
from ctta.results.rows import HEADLINE, gather
from ctta.results.table import columns, row_names, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette keeps apart for the colour-blind; markers and dashes do so in grey.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = "osD^vPX*<"  # one more than colours, so that pairs repeat late
DASHES = ("-", "--", "-.", ":")
WINDOW = 200


def error_per_corruption(results: Sequence[Result], path: Path) -> Path:
    """One mark per row over each corruption, the mean of its runs; writes a PNG to ``path``."""
    figure, axes = new_figure()
    names, rows = columns(results), gather(results)
    spread = np.linspace(-0.28, 0.28, len(rows)) if len(rows) > 1 else np.zeros(1)
    for i, (label, row) in enumerate(zip(row_names(rows), rows, strict=True)):
        met = row.results[0].error_by_domain
        errors = [row.mean(name) if name in met else np.nan for name in names]
        axes.plot(
            np.arange(len(names)) + spread[i],
            errors,
            linestyle="none",
            marker=MARKERS[i % len(MARKERS)],
            color=COLOURS[i % len(COLOURS)],
            label=f"{label} ({row.mean(HEADLINE):.1f})",
        )
    for border in range(1, len(names)):
        axes.axvline(border - 0.5, color="0.9", linewidth=0.8)
    axes.set_xticks(range(len(names)), [short(name) for name in names], rotation=40, ha="right")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel("error (%)")
    axes.set_title("Error per corruption (mean in brackets)", loc="left")
    return finish(figure, axes, path)


def error_over_stream(results: Sequence[Result], traces: Sequence[Trace], path: Path) -> Path:
    """Running error of the first run of each row, segments marked; writes a PNG to ``path``."""
    figure, axes = new_figure()
    rows = gather(results)
    trace_of = {r.identity: trace for r, trace in zip(results, traces, strict=True)}
    for i, (label, row) in enumerate(zip(row_names(rows), rows, strict=True)):
        axes.plot(
            error_along_stream(trace_of[row.results[0].identity], WINDOW),
            color=COLOURS[i % len(COLOURS)],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.4,
            label=label,
        )
    segment = traces[0].samples["segment"]
    starts = [0, *(np.flatnonzero(np.diff(segment)) + 1).tolist()]
    for start in starts[1:]:
        axes.axvline(start, color="0.8", linewidth=0.8)
    if len(starts) > 1:
        middles = (np.array(starts) + np.array([*starts[1:], len(segment)])) / 2
        domains = [traces[0].domain_names[traces[0].samples["domain"][s]] for s in starts]
        axes.set_xticks(middles, [short(d) for d in domains], rotation=40, ha="right")
        axes.tick_params(axis="x", length=0)
    axes.set_xlim(0, len(segment))
    axes.set_ylabel(f"error over the last {WINDOW} samples (%)")
    axes.set_title("Error along the stream", loc="left")
    return finish(figure, axes, path)


def new_figure() -> tuple[Figure, Axes]:
    """One set of axes, without a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained", dpi=130)
    return figure, figure.subplots()


def finish(figure: Figure, axes: Axes, path: Path) -> Path:
    """Common looks; the file appears when it is whole."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=0)
    axes.yaxis.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    temporary = path.with_name(f".{path.name}")
    try:
        figure.savefig(temporary, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
