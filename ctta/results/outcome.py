"""The parts of a result that are known when a run has ended, well or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ctta.online.trace import Trace
from ctta.results.metrics import error_by_domain, samples_per_second, summarise
from ctta.results.result import CostRecord


class RunFailedError(ValueError):
    """A method or a data set failed for a reason of its own."""


def in_words(error: BaseException) -> str:
    """Batch, kind and text of what stopped a run, on one line."""
    notes = getattr(error, "__notes__", [])
    text = " ".join(str(error).split())
    if isinstance(error, ValueError):
        return text
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return ": ".join([*notes, type(error).__name__, text])


def failed(reason: str) -> dict[str, Any]:
    """The part of a result that a failed run leaves open."""
    empty: dict[str, Any] = {"metrics": {}, "error_by_domain": {}, "costs": None}
    return {"status": "failed", "reason": reason, "trace_sha256": None, **empty}


def finished(trace: Trace, clean: dict[str, float], costs: CostRecord) -> dict[str, Any]:
    """The part of a result that follows from the run."""
    return {
        "status": "finished",
        "reason": None,
        "metrics": {**summarise(trace), **clean},
        "error_by_domain": error_by_domain(trace),
        "costs": costs,
        "trace_sha256": trace.sha256(),
    }


def forgetting(before: float | None, after: float | None) -> dict[str, float]:
    """Clean error before and after the stream, and the difference; empty without clean images."""
    if before is None or after is None:
        return {}
    return {
        "clean_error_before_pct": before,
        "clean_error_after_pct": after,
        "forgetting_pct": after - before,
    }


def cost_record(
    trace: Trace,
    *,
    exclusive: bool | None,
    kernels_ran: set[str],
    peak: float,
    flops: float | None,
) -> CostRecord:
    """Means of the trace's costs, beside what was measured around it: see `CostRecord`."""

    def mean(column: str) -> float:
        return float(np.mean(trace.batches[column]))

    def per_sample(column: str) -> float:
        return float(np.sum(trace.batches[column]) / len(trace))

    return CostRecord(
        adapt_seconds=mean("adapt_seconds"),
        data_seconds=mean("data_seconds"),
        samples_per_second=samples_per_second(trace),
        exclusive=exclusive,
        forwards=mean("forwards"),
        backwards=mean("backwards"),
        forwards_per_sample=per_sample("forward_images"),
        backwards_per_sample=per_sample("backward_images"),
        peak_mib=peak,
        flops_per_sample=flops,
        kernels=sorted(kernels_ran),
    )
