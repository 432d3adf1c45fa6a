"""Two traces, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctta.online.trace import Trace

ANSWER = ("prediction", "top_prob", "label_logprob", "sum_sq_prob", "entropy")


@dataclass(frozen=True)
class SegmentPairs:
    """The pairs of one segment of the first trace.

    Attributes:
        segment: its number.
        domain: of its first pair.
        n: pairs.
        error_a_pct: of the first trace, over the pairs.
        error_b_pct: of the second.
        only_a_wrong: pairs that only the first trace answers wrongly.
        only_b_wrong: that only the second does.
        other_answers: with unlike predictions.
    """

    segment: int
    domain: str
    n: int
    error_a_pct: float
    error_b_pct: float
    only_a_wrong: int
    only_b_wrong: int
    other_answers: int


@dataclass(frozen=True)
class FirstDifference:
    """Where, in the order of the first trace, an answer first differs in a bit.

    Attributes:
        sample: position in the first trace, from 0.
        batch: the first trace's batch, from 0.
        domain: of the sample.
        sample_id: its number in the data set.
    """

    sample: int
    batch: int
    domain: str
    sample_id: int


@dataclass(frozen=True)
class PairedTraces:
    """What two traces have in common, and where they part.

    Attributes:
        n_a: samples of the first trace.
        n_b: of the second.
        n_pairs: samples in both.
        same_order: the two traces have the same samples in the same order.
        first: first answer that differs; None: none does.
        segments: by segment of the first trace.
    """

    n_a: int
    n_b: int
    n_pairs: int
    same_order: bool
    first: FirstDifference | None
    segments: tuple[SegmentPairs, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


def paired(a: Trace, b: Trace) -> PairedTraces:
    """Pair the samples of two traces: the same image of the same domain, for the same time."""
    names = {name: i for i, name in enumerate(dict.fromkeys((*a.domain_names, *b.domain_names)))}
    keys_a, keys_b = sample_keys(a, names), sample_keys(b, names)
    same_order = np.array_equal(keys_a, keys_b)
    if same_order:
        at_a = at_b = np.arange(len(a))
    else:
        _, at_a, at_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
        order = np.argsort(at_a)
        at_a, at_b = at_a[order], at_b[order]
    own = {name: a.samples[name][at_a] for name in (*ANSWER, "label", "segment", "domain")}
    other = {name: b.samples[name][at_b] for name in (*ANSWER, "label")}
    differs = np.zeros(len(at_a), bool)
    for name in ANSWER:
        differs |= own[name] != other[name]
    return PairedTraces(
        n_a=len(a),
        n_b=len(b),
        n_pairs=len(at_a),
        same_order=same_order,
        first=first_difference(a, at_a[differs]),
        segments=by_segment(a, own, other),
    )


def sample_keys(trace: Trace, domains: Mapping[str, int]) -> NDArray[np.void]:
    """(domain, sample id, how often it came before) of each row: unique within a trace."""
    number = np.array([domains[name] for name in trace.domain_names])
    keys = np.zeros(len(trace), [("domain", "i8"), ("id", "i8"), ("time", "i8")])
    keys["domain"] = number[trace.samples["domain"]]
    keys["id"] = trace.samples["sample_id"]
    order = np.lexsort((keys["id"], keys["domain"]))  # stable: rows of one sample stay in order
    by_sample = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = (by_sample["domain"][1:] != by_sample["domain"][:-1]) | (
        by_sample["id"][1:] != by_sample["id"][:-1]
    )
    position = np.arange(len(keys))
    keys["time"][order] = position - np.maximum.accumulate(np.where(new, position, 0))
    return keys


def first_difference(trace: Trace, differing: NDArray[np.int64]) -> FirstDifference | None:
    """The first of the rows ``differing``."""
    if not len(differing):
        return None
    sample = int(differing[0])
    ends = np.cumsum(trace.batches["batch_size"])
    return FirstDifference(
        sample=sample,
        batch=int(np.searchsorted(ends, sample, side="right")),
        domain=trace.domain_names[trace.samples["domain"][sample]],
        sample_id=int(trace.samples["sample_id"][sample]),
    )


def by_segment(
    trace: Trace, own: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]
) -> tuple[SegmentPairs, ...]:
    """The pairs of each segment of ``trace`` counted."""
    found = []
    for segment in np.unique(own["segment"]):
        rows = own["segment"] == segment
        wrong_a = (own["prediction"] != own["label"])[rows]
        wrong_b = (other["prediction"] != other["label"])[rows]
        found.append(
            SegmentPairs(
                segment=int(segment),
                domain=trace.domain_names[own["domain"][rows][0]],
                n=int(rows.sum()),
                error_a_pct=100 * float(wrong_a.mean()),
                error_b_pct=100 * float(wrong_b.mean()),
                only_a_wrong=int((wrong_a & ~wrong_b).sum()),
                only_b_wrong=int((wrong_b & ~wrong_a).sum()),
                other_answers=int((own["prediction"] != other["prediction"])[rows].sum()),
            )
        )
    return tuple(found)
