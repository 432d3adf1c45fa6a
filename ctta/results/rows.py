"""Which runs may be averaged, ranked together or paired, and the rows that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ctta.results.compare import changes, flat
from ctta.results.identity import deciding
from ctta.results.result import Result
from ctta.results.statistics import (
    Effect,
    Estimate,
    Floats,
    Interval,
    by_group,
    compare_paired,
    estimate,
    mean_of,
    ranks,
    student,
)

HEADLINE = "error_pct"
RANKED_TOGETHER: dict[str, Callable[[Result], Any]] = {
    "protocol_sha256": lambda r: r.stream.protocol_sha256,
    "weights_sha256": lambda r: r.model.get("weights_sha256"),
    "metrics_version": lambda r: r.metrics_version,
}
BESIDE = ("seed", "stream", "dataset")  # keys that are seeds, or in the protocol's hash
AVERAGED: dict[str, Callable[[Result], Any]] = {
    "method": lambda r: r.method.name,
    "method version": lambda r: r.method.version,
    **RANKED_TOGETHER,
    "settings": lambda r: settings(r),
}


@dataclass(frozen=True)
class Row:
    """Finished runs that differ in nothing but the seed of the method and the order of the stream.

    Raises:
        ValueError: runs that cannot be averaged; the message says what differs between which two.
    """

    results: tuple[Result, ...]

    def __post_init__(self) -> None:
        for result in self.results:
            if result.status != "finished":
                raise ValueError(f"{name(result)} failed ({result.reason}); it has no numbers")
        for key, read in AVERAGED.items():
            agree(self.results, key, read, "cannot be averaged")
        same_data(self.results, "cannot be averaged")
        for own in by_stream(self.results).values():
            seeds: dict[int, Result] = {}
            for result in own:
                other = seeds.setdefault(result.seeds["method"], result)
                if other.trace_sha256 != result.trace_sha256:
                    raise ValueError(
                        f"{name(other)} and {name(result)} have the same seeds and unlike traces: "
                        "they were made on unlike machines or commits; leave one of them out"
                    )

    @cached_property
    def streams(self) -> dict[str, list[Result]]:
        """Hash of each stream -> its runs; one of them where no two can differ, see `identical`."""
        found = by_stream(self.results)
        if self.identical:
            return {stream: own[:1] for stream, own in found.items()}
        return {s: list({r.seeds["method"]: r for r in own}.values()) for s, own in found.items()}

    @cached_property
    def identical(self) -> bool:
        """Several seeds of the method were run on a stream, and their traces are the same."""
        found = by_stream(self.results).values()
        several = any(len({r.seeds["method"] for r in own}) > 1 for own in found)
        return several and all(len({r.trace_sha256 for r in own}) == 1 for own in found)

    @property
    def varied(self) -> str:
        """Which seed varied, in words."""
        found = by_stream(self.results)
        n_orders = len(found)
        seeds = [{r.seeds["method"] for r in own} for own in found.values()]
        counts = sorted({len(own) for own in seeds})
        n_seeds = "-".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
        if n_orders == 1 and counts == [1]:
            return "one run"
        if n_orders == 1:
            return f"{n_seeds} seeds" + (", identical traces" if self.identical else "")
        if counts == [1]:
            together = len(set.union(*seeds)) > 1
            return f"{n_orders} orders" + (", a seed for each" if together else "")
        same = ", identical traces in each" if self.identical else ""
        return f"{n_orders} orders x {n_seeds} seeds{same}"

    def estimate(self, metric: str = HEADLINE) -> Estimate:
        """Mean and intervals of a metric, or of a domain's error by the domain's name.

        Raises:
            ValueError: a run without that metric.
        """
        return estimate(self.values(metric))

    def mean(self, metric: str = HEADLINE) -> float:
        """The mean alone."""
        return mean_of(self.values(metric))

    def values(self, metric: str) -> list[list[float]]:
        """The metric of each run of each stream; see `estimate`."""
        return [[value(r, metric) for r in own] for own in self.streams.values()]

    def interval(self, metric: str = HEADLINE) -> Interval | None:
        """Student's interval; a point where runs do not differ; None of a single run."""
        runs = self.values(metric)
        found = student(runs)
        if found is None and (self.identical or sum(map(len, runs)) > 1):
            return Interval(self.mean(metric), self.mean(metric))
        return found


def gather(results: Sequence[Result]) -> list[Row]:
    """The finished runs in rows, in the order in which the first of each came.

    Raises:
        ValueError: runs of one row whose data differ, or that were made twice.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.status == "finished":
            key = json.dumps([read(result) for read in AVERAGED.values()], sort_keys=True)
            groups.setdefault(key, []).append(result)
    return [Row(tuple(own)) for own in groups.values()]


def ranked(rows: Sequence[Row], metric: str = HEADLINE) -> list[int | None]:
    """The rank of each row, see `ctta.results.statistics.ranks`; a lower metric is better.

    Raises:
        ValueError: rows that do not belong into one ranking; the message says why.
    """
    check_ranked(rows)
    return ranks([row.interval(metric) for row in rows])


def check_ranked(rows: Sequence[Row]) -> None:
    """Refuse rows that do not belong into one ranking.

    Raises:
        ValueError: the message says what differs between which two.
    """
    firsts = [row.results[0] for row in rows]
    for key, read in RANKED_TOGETHER.items():
        agree(firsts, key, read, "cannot be ranked together")
    for row in rows[1:]:
        if row.streams.keys() != rows[0].streams.keys():
            raise ValueError(
                f"{name(row.results[0])} and {name(rows[0].results[0])} cannot be ranked together: "
                f"they cover {len(row.streams)} and {len(rows[0].streams)} streams, "
                f"{len(row.streams.keys() & rows[0].streams.keys())} of them in common; "
                "run both over the same stream.seed"
            )
    same_data([r for row in rows for r in row.results], "cannot be ranked together")


def paired(first: Row, second: Row) -> Effect:
    """``first`` less ``second`` over the streams that both ran, in points of error.

    Raises:
        ValueError: rows that have no stream in common, or cannot be compared.
    """
    both = [first.results[0], second.results[0]]
    for key, read in RANKED_TOGETHER.items():
        agree(both, key, read, "cannot be paired")
    shared = [stream for stream in first.streams if stream in second.streams]
    if not shared:
        names = " and ".join(map(name, both))
        raise ValueError(f"{names} cannot be paired: no order of the stream was run by both")
    runs = [row.streams[stream] for row in (first, second) for stream in shared]
    same_data([r for own in runs for r in own], "cannot be paired")
    n_domains = {k: n for k, (_, n) in by_group(both[0].error_by_domain).items()}

    def sums(own: Sequence[Result]) -> Floats:
        groups = [by_group(r.error_by_domain) for r in own]
        for result, found in zip(own, groups, strict=True):
            if {key: n for key, (_, n) in found.items()} != n_domains:
                raise ValueError(f"{name(result)} has other domains than {name(both[0])}")
        return np.array([[found[key][0] for key in n_domains] for found in groups])

    tables = [sums(own) for own in runs]
    sizes = np.array(list(n_domains.values()), dtype=np.float64)
    return compare_paired(tables[: len(shared)], tables[len(shared) :], sizes)


def learning_rates(rows: Sequence[Row]) -> list[dict[float, Row]]:
    """Rows that differ in nothing but the learning rate, by that; one entry a set of two or more.

    Nested optimizers (of a method inside another one) count as one.
    """
    groups: dict[str, dict[float, Row]] = {}
    for row in rows:
        result = row.results[0]
        rates = found_rates(result.config["method"])
        if len(rates) == 1:
            others = [read(result) for key, read in AVERAGED.items() if key != "settings"]
            key = json.dumps([*others, settings(result, rates=False)], sort_keys=True)
            groups.setdefault(key, {})[rates.pop()] = row
    return [dict(sorted(own.items())) for own in groups.values() if len(own) > 1]


def settings(result: Result, *, rates: bool = True) -> dict[str, Any]:
    """The keys that decide numbers, without those ``BESIDE`` it."""
    values = {k: v for k, v in deciding(result.config).items() if k not in BESIDE}
    if not rates:
        values["method"] = without_rates(values["method"])
    return values


def found_rates(node: Mapping[str, Any]) -> set[float]:
    """Learning rates of the optimizers in a method's node."""
    rates = {node["optimizer"]["lr"]} if isinstance(node.get("optimizer"), Mapping) else set()
    inner = [v for k, v in node.items() if isinstance(v, Mapping) and k != "optimizer"]
    return {rate for rate in rates if rate is not None}.union(*map(found_rates, inner))


def without_rates(node: Mapping[str, Any]) -> dict[str, Any]:
    """A method's node without the learning rates of its optimizers."""
    return {
        k: without_rates(v) if isinstance(v, Mapping) else v for k, v in node.items() if k != "lr"
    }


def by_stream(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Hash of each stream -> its runs."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.stream.stream_sha256, []).append(result)
    return found


def same_data(results: Sequence[Result], verdict: str) -> None:
    """Refuse runs of one stream that did not see the same images.

    Raises:
        ValueError: the message says which two.
    """
    for own in by_stream(results).values():
        agree(own, "data_sha256", lambda r: r.data.data_sha256, verdict)


def agree(results: Sequence[Result], key: str, read: Callable[[Result], Any], verdict: str) -> None:
    """Refuse results in which ``read`` differs.

    Raises:
        ValueError: the message says what, and between which two.
    """
    for result in results[1:]:
        then, now = ({key: read(r)} for r in (results[0], result))
        if then != now:
            differs = "; ".join(changes(flat(then), flat(now)))
            raise ValueError(f"{name(results[0])} and {name(result)} {verdict}: {differs}")


def value(result: Result, metric: str) -> float:
    """A metric of a run, or the error on the domain of that name.

    Raises:
        ValueError: the run has neither.
    """
    for values in (result.metrics, result.error_by_domain):
        if metric in values:
            return values[metric]
    raise ValueError(
        f"metric: {name(result)} has {', '.join([*result.metrics, *result.error_by_domain])}; "
        f"got {metric!r}"
    )


def name(result: Result) -> str:
    """The name of the run's folder."""
    return f"{result.method.name}-{result.config['names']['dataset']}-{result.identity[:12]}"
