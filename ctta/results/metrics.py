"""Metrics as pure functions of a saved trace. Errors are in %."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ctta.online.collapse import collapsed_pct
from ctta.online.trace import Columns, Trace

METRICS_VERSION = 1
N_BINS = 15

Floats = NDArray[np.float64]


def wrong(trace: Trace) -> NDArray[np.bool_]:
    """Which samples were predicted wrongly, [N]."""
    return mistakes(trace.samples)


def mistakes(samples: Columns) -> NDArray[np.bool_]:
    """`wrong`, of some rows."""
    return np.asarray(samples["prediction"] != samples["label"])


def mean(trace: Trace, values: Callable[[Columns], Floats]) -> float:
    """Mean over the samples of what ``values`` makes of the rows of each piece."""
    return float(sum(values(piece).sum() for piece in trace.pieces()) / len(trace))


def float64(samples: Columns, name: str) -> Floats:
    """A column in double precision."""
    return np.asarray(samples[name], dtype=np.float64)


def counts_by_visit(trace: Trace) -> tuple[Floats, Floats]:
    """Wrong and seen samples of each of the stream's visits to a domain."""
    n = len(trace.domain_names)
    n_wrong, n_seen = np.zeros(n), np.zeros(n)
    for piece in trace.pieces():
        n_wrong += np.bincount(piece["domain"], weights=mistakes(piece), minlength=n)
        n_seen += np.bincount(piece["domain"], minlength=n)
    return n_wrong, n_seen


def error_by_domain(trace: Trace) -> dict[str, float]:
    """Domain name -> error in %; a domain that comes more than once counts all its samples.

    Domains without samples are left out.
    """
    counts: dict[str, Floats] = {}
    for name, *own in zip(trace.domain_names, *counts_by_visit(trace), strict=True):
        counts[name] = counts.get(name, 0) + np.array(own)
    return {name: 100 * float(n_wrong / n) for name, (n_wrong, n) in counts.items() if n}


def error_by_visit(trace: Trace) -> Floats:
    """Error in % of each of the stream's visits to a domain, in order; NaN without samples.

    Where domains come more than once (severities that rise and fall, rounds), this is the mean
    that papers report over the whole sequence, over one round, or over one severity.
    """
    n_wrong, n_seen = counts_by_visit(trace)
    return np.asarray(100 * n_wrong / np.where(n_seen > 0, n_seen, np.nan))


def error_pct(trace: Trace) -> float:
    """Unweighted mean over the domains, the field's headline."""
    return float(np.mean(list(error_by_domain(trace).values())))


def error_all_pct(trace: Trace) -> float:
    """Over all samples."""
    return 100 * (trace.n_wrong() / len(trace))


def nll(trace: Trace) -> float:
    """Mean negative log-probability of the label, in nats."""
    return -mean(trace, lambda piece: float64(piece, "label_logprob"))


def brier(trace: Trace) -> float:
    """Mean squared distance between probabilities and the one-hot label, in [0, 2]."""

    def distance(piece: Columns) -> Floats:
        label_prob: Floats = np.exp(float64(piece, "label_logprob"))
        return float64(piece, "sum_sq_prob") - 2 * label_prob + 1

    return mean(trace, distance)


def ece(trace: Trace) -> float:
    """Expected calibration error over 15 equal-width bins of the top probability, in [0, 1].

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 5.
    """
    edges = np.linspace(0, 1, N_BINS + 1)
    gap = np.zeros(N_BINS)
    for piece in trace.pieces():
        confidence = float64(piece, "top_prob")
        bins = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, N_BINS - 1)
        gap += np.bincount(bins, weights=~mistakes(piece) - confidence, minlength=N_BINS)
    return float(np.abs(gap).sum() / len(trace))


def error_along_stream(trace: Trace, window: int) -> Floats:
    """Error in % over the last ``window`` samples (fewer at the start), [N]."""
    if window < 1:
        raise ValueError(f"window: expected at least 1, got {window}")
    total = np.concatenate([[0], np.cumsum(wrong(trace))])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return np.asarray(100 * (total[end] - total[start]) / (end - start))


def samples_per_second(trace: Trace) -> float:
    """Samples over the seconds spent in `adapt`."""
    return float(len(trace) / trace.batches["adapt_seconds"].sum())


def summarise(trace: Trace) -> dict[str, float]:
    """All scalar metrics that follow from the predictions; costs are recorded apart."""
    return {
        "error_pct": error_pct(trace),
        "error_all_pct": error_all_pct(trace),
        "nll": nll(trace),
        "brier": brier(trace),
        "ece": ece(trace),
        "collapsed_pct": collapsed_pct(trace),
    }
