"""Collapse: predictions that have run into few classes, or err more than without adapting."""

from __future__ import annotations

import logging
from collections import deque
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ctta.online.trace import Trace, values
from ctta.streams.stream import Batch, Stream

log = logging.getLogger("ctta")
N_BATCHES = 20  # that are looked at together
SPREAD = 0.5  # of the labels' entropy: predictions below it have collapsed, if also
SHARE = 0.25  # their top class has this much more of them than the labels' top class has
EXCESS_PCT = 10.0  # error above the source model's

Integers = NDArray[np.int64]


class CollapsedError(ValueError):
    """A run was stopped because its method had collapsed."""


class CollapseWatch:
    """Judges the last `N_BATCHES` batches; labels tell a stream of few classes from a collapse.

    Args:
        source_wrong: of every sample in the order of the stream, whether the unadapted source model
            is wrong; None: it is not known.
        n_seen: samples of the stream before the first that comes.
    """

    def __init__(self, source_wrong: NDArray[np.bool_] | None = None, n_seen: int = 0) -> None:
        self.source_wrong, self.n_seen = source_wrong, n_seen
        self.recent: deque[tuple[Integers, int, int]] = deque()
        self.counts: Integers = np.zeros((2, 0), np.int64)  # of predictions and of labels, [2, K]
        self.n_wrong = self.n_before = 0

    def add(self, predictions: Integers, labels: Integers, n_classes: int) -> str | None:
        """Take one batch in, [B] and [B]; why the last batches are a collapse, or None."""
        size = max(n_classes, int(labels.max()) + 1)
        own = slice(self.n_seen, self.n_seen + len(labels))
        self.n_seen += len(labels)
        n_wrong = int((predictions != labels).sum())
        n_before = n_wrong if self.source_wrong is None else int(self.source_wrong[own].sum())
        both = np.concatenate([predictions, labels + size])
        counts = np.bincount(both, minlength=2 * size).reshape(2, size)
        self.recent.append((counts, n_wrong, n_before))
        self.counts = self.counts + counts if self.counts.size else counts
        self.n_wrong += n_wrong
        self.n_before += n_before
        if len(self.recent) > N_BATCHES:
            counts, n_wrong, n_before = self.recent.popleft()
            self.counts = self.counts - counts
            self.n_wrong -= n_wrong
            self.n_before -= n_before
        return self.judged() if len(self.recent) == N_BATCHES else None

    def judged(self) -> str | None:
        """What is said of the batches at hand."""
        n = int(self.counts[0].sum())
        top, label_top = (self.counts.max(1) / n).tolist()
        if top > label_top + SHARE:
            spread, label_spread = map(entropy, self.counts)
            if spread < SPREAD * label_spread:
                return (
                    f"class {int(self.counts[0].argmax())} has {100 * top:.0f} % of the "
                    f"predictions (labels: at most {100 * label_top:.0f} %), entropy of the "
                    f"predicted classes {spread:.2f} (labels: {label_spread:.2f})"
                )
        error, before = 100 * self.n_wrong / n, 100 * self.n_before / n
        if error > before + EXCESS_PCT:
            return f"error {error:.1f} %, without adapting {before:.1f} %"
        return None


def entropy(counts: Integers) -> float:
    """In nats, of ``counts`` [K]."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def collapsed_pct(trace: Trace) -> float:
    """Share of the batches at which the predictions of the last ones had collapsed, in %."""
    watch = CollapseWatch()
    predictions, labels = (values(trace.samples[name]) for name in ("prediction", "label"))
    n_found = 0
    for size in values(trace.batches["batch_size"]):
        own, true = (np.fromiter(islice(c, size), np.int64, size) for c in (predictions, labels))
        n_found += watch.add(own, true, trace.n_classes) is not None
    return 100 * n_found / len(trace.batches["batch_size"])


class CollapseGuard:
    """An observer that says when a collapse begins, and stops the run if that is asked for.

    Args:
        stops: raise `CollapsedError`; else it is logged, once.
        source_wrong: see `CollapseWatch`.
    """

    def __init__(self, *, stops: bool, source_wrong: NDArray[np.bool_] | None = None) -> None:
        self.stops, self.source_wrong = stops, source_wrong
        self.said = False

    def on_start(self, stream: Stream, so_far: Trace) -> None:
        """Begin, after the samples of an earlier process."""
        self.number = so_far.n_batches
        self.watch = CollapseWatch(self.source_wrong, len(so_far))

    def on_batch(self, batch: Batch, logits: Tensor) -> None:
        """Judge.

        Raises:
            CollapsedError: the run is to stop here.
        """
        predictions = logits.argmax(1).cpu().numpy()
        reason = self.watch.add(predictions, batch.y.numpy(), logits.shape[1])
        self.number += 1
        if reason is None or self.said:
            return
        self.said = True
        text = f"collapsed by batch {self.number - 1}: {reason}, over the last {N_BATCHES} batches"
        if self.stops:
            raise CollapsedError(f"{text}; guard.on_collapse=warn goes on all the same")
        log.warning("%s", text)

    def on_end(self, trace: Trace) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
