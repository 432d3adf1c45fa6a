"""Why two runs have other numbers: what of them differs, and from which sample on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctta.online.trace import Trace
from ctta.results.compare import changes, differences, flat
from ctta.results.identity import deciding
from ctta.results.paired import PairedTraces, paired
from ctta.results.result import Result


@dataclass(frozen=True)
class Difference:
    """Two runs side by side.

    Attributes:
        kinds: ``config`` (keys that decide numbers), ``other config``, ``stream``, ``data``,
            ``weights``, ``artefacts``, ``code``, ``environment`` -> what differs, as
            "key: a -> b"; an empty list where nothing does.
        same_bits: the two traces are equal.
        traces: sample by sample; None: one of the runs has no trace.
    """

    kinds: Mapping[str, list[str]]
    same_bits: bool
    traces: PairedTraces | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        traces = self.traces and self.traces.to_dict()
        return {"differs": dict(self.kinds), "same_bits": self.same_bits, "traces": traces}

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        for kind, found in self.kinds.items():
            yield from (f"{kind} differs: {change}" for change in found)
        equal = [kind for kind, found in self.kinds.items() if not found]
        if equal:
            yield f"the same: {', '.join(equal)}"
        if self.traces is None:
            yield "no samples to compare: one of the two has no trace"
            return
        yield from self.of_traces(self.traces)

    def of_traces(self, traces: PairedTraces) -> Iterator[str]:
        """The lines about the samples."""
        if self.same_bits:
            yield f"samples: the same bits in all {traces.n_a}"
            return
        order = "in one order" if traces.same_order else "in another order or not all of them"
        yield f"samples: {traces.n_a} and {traces.n_b}, of which {traces.n_pairs} in both, {order}"
        first = traces.first
        if first is None:
            yield "no answer differs in those"
        else:
            yield (
                f"the first answer that differs: sample {first.sample} in batch {first.batch} "
                f"({first.domain}, image {first.sample_id})"
            )
        if not traces.segments:
            return
        heads = ("n", "error A", "error B", "A - B", "only A wrong", "only B wrong", "unlike")
        width = max(len("segment"), *(len(f"{s.segment} {s.domain}") for s in traces.segments))
        yield "  ".join([f"{'segment':{width}}", *(f"{head:>6}" for head in heads)])
        for s in traces.segments:
            numbers = (
                f"{s.n}",
                f"{s.error_a_pct:.2f}",
                f"{s.error_b_pct:.2f}",
                f"{s.error_a_pct - s.error_b_pct:+.2f}",
                f"{s.only_a_wrong}",
                f"{s.only_b_wrong}",
                f"{s.other_answers}",
            )
            aligned = (f"{v:>{max(6, len(h))}}" for v, h in zip(numbers, heads, strict=True))
            yield "  ".join([f"{f'{s.segment} {s.domain}':{width}}", *aligned])


def difference(a: Result, b: Result, trace_a: Trace | None, trace_b: Trace | None) -> Difference:
    """Compare two runs and, where both have one, their traces."""
    surroundings = differences(a, b)
    decides = [flat(deciding(r.config)) for r in (a, b)]
    rest = [
        {k: v for k, v in flat(r.config).items() if k not in own}
        for r, own in zip((a, b), decides, strict=True)
    ]
    artefact_a, artefact_b = (
        {"sha256": r.artefact and r.artefact.sha256, "source_data": r.source_data} for r in (a, b)
    )
    kinds = {
        "config": changes(*decides),
        "stream": surroundings["stream"],
        "data": surroundings["data"],
        "weights": surroundings["weights"],
        "artefacts": changes(artefact_a, artefact_b),
        "code": surroundings["code"],
        "environment": surroundings["environment"],
        "other config": changes(*rest),
    }
    both = trace_a is not None and trace_b is not None
    return Difference(
        kinds=kinds,
        same_bits=both and a.trace_sha256 == b.trace_sha256,
        traces=paired(trace_a, trace_b) if trace_a is not None and trace_b is not None else None,
    )
