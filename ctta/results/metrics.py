"""Metrics as pure functions of a saved trace. Errors are in %."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctta.online.collapse import collapsed_pct
from ctta.online.trace import Trace

METRICS_VERSION = 1
N_BINS = 15

Floats = NDArray[np.float64]


def wrong(trace: Trace) -> NDArray[np.bool_]:
    """Which samples were predicted wrongly, [N]."""
    return np.asarray(trace.samples["prediction"] != trace.samples["label"])


def error_by_domain(trace: Trace) -> dict[str, float]:
    """Domain name -> error in %; a domain that comes more than once counts all its samples.

    Domains without samples are left out.
    """
    domain, mistakes = trace.samples["domain"], wrong(trace)
    names: dict[str, list[int]] = {}
    for number in np.unique(domain).tolist():
        names.setdefault(trace.domain_names[number], []).append(number)
    return {
        name: 100 * float(mistakes[np.isin(domain, numbers)].mean())
        for name, numbers in names.items()
    }


def error_by_visit(trace: Trace) -> Floats:
    """Error in % of each of the stream's visits to a domain, in order; NaN without samples.

    Where domains come more than once (severities that rise and fall, rounds), this is the mean
    that papers report over the whole sequence, over one round, or over one severity.
    """
    n_visits = len(trace.domain_names)
    domain = trace.samples["domain"]
    n_wrong = np.bincount(domain, weights=wrong(trace), minlength=n_visits)
    n_seen = np.bincount(domain, minlength=n_visits)
    return np.asarray(100 * n_wrong / np.where(n_seen > 0, n_seen, np.nan))


def error_pct(trace: Trace) -> float:
    """Unweighted mean over the domains, the field's headline."""
    return float(np.mean(list(error_by_domain(trace).values())))


def error_all_pct(trace: Trace) -> float:
    """Over all samples."""
    return 100 * float(wrong(trace).mean())


def nll(trace: Trace) -> float:
    """Mean negative log-probability of the label, in nats."""
    return -float(trace.samples["label_logprob"].astype(np.float64).mean())


def brier(trace: Trace) -> float:
    """Mean squared distance between probabilities and the one-hot label, in [0, 2]."""
    label_prob = np.exp(trace.samples["label_logprob"].astype(np.float64))
    squares = trace.samples["sum_sq_prob"].astype(np.float64)
    return float((squares - 2 * label_prob + 1).mean())


def ece(trace: Trace) -> float:
    """Expected calibration error over 15 equal-width bins of the top probability, in [0, 1].

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 5.
    """
    confidence = trace.samples["top_prob"].astype(np.float64)
    right = ~wrong(trace)
    edges = np.linspace(0, 1, N_BINS + 1)
    bins = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, N_BINS - 1)
    gap = np.bincount(bins, weights=right - confidence, minlength=N_BINS)
    return float(np.abs(gap).sum() / len(confidence))


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
