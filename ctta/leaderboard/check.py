"""What is checked of an entry. Nothing in it is executed; problems are told, not raised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctta.leaderboard.entry import Entry, shown_config
from ctta.leaderboard.published import PublishedRow, published_rows
from ctta.leaderboard.shelf import Filed, Known, Problem, Shelf, duplicates
from ctta.leaderboard.wording import shortened
from ctta.online.trace import Trace
from ctta.results.compare import flat
from ctta.results.identity import run_identity
from ctta.results.metrics import METRICS_VERSION, error_by_domain, summarise, wrong
from ctta.results.outcome import cost_record

EXACT = 1e-6  # of errors, in points: they are counts
PROBABILITY = 5e-3  # in float16, two of them beside each other
ROUNDED = 2e-3  # of what follows from probabilities in float16
FROM_CLEAN_IMAGES = ("clean_error_before_pct", "clean_error_after_pct", "forgetting_pct")
COUNTED = ("forwards", "backwards", "forwards_per_sample", "backwards_per_sample")
FAR_BETTER = 0.7  # of the best published error: below it, a person has to look
METHOD_KEYS = ("method", "optimizer")


@dataclass(frozen=True)
class Installed:
    """What the installed configurations make of an entry's groups and overrides.

    Attributes:
        config: resolved.
        plugins: of which choices come, by ``group=name``.
        version: of the method; None: a plug-in's, which is not imported.
        uses_source_data: every instance of the method does.
    """

    config: Mapping[str, Any]
    plugins: Mapping[str, str]
    version: int | None = None
    uses_source_data: bool = False


class AbsentError(ValueError):
    """A choice of an entry, a plug-in's perhaps, is not installed here."""


@dataclass
class Check:
    """Checks entries of one folder.

    Args:
        shelf: the folder.
        installed: composes an entry's groups and overrides, and raises ValueError where that is
            impossible, `AbsentError` where it may be possible elsewhere; None: that is not checked.
        rerun: runs an entry again and yields what differs, field and text; None: it is not.
    """

    shelf: Shelf
    installed: Callable[[Entry], Installed] | None = None
    rerun: Callable[[Entry, Installed], Iterator[tuple[str, str]]] | None = None

    def check(self, entries: Sequence[Filed], among: Sequence[Filed] = ()) -> list[Problem]:
        """All problems of ``entries``, those of pairs last; pairs with ``among`` count too."""
        found = [problem for filed in entries for problem in self.one(filed)]
        return found + duplicates(entries, among)

    def one(self, filed: Filed) -> Iterator[Problem]:
        """The problems of one entry."""
        entry = filed.entry
        for name, text in (
            *placed(filed),
            *consistent(entry),
            *hashes(entry, self.shelf.known(entry.benchmark)),
            *versions(entry),
            *source_data(entry),
            *tuning(entry),
            *self.metrics(filed),
        ):
            yield Problem(filed.where, name, text)
        for name, text in plausible(entry):
            yield Problem(filed.where, name, text, question=True)
        if self.installed is None:
            return
        try:
            installed = self.installed(entry)
        except AbsentError as error:
            yield Problem(filed.where, "rerun", str(error), question=True)
        except ValueError as error:
            text = f"cannot be composed here: {' '.join(str(error).split())}"
            yield Problem(filed.where, "rerun", text)
        else:
            for name, text in self.against(entry, installed):
                yield Problem(filed.where, name, text)

    def metrics(self, filed: Filed) -> Iterator[tuple[str, str]]:
        """Metrics and counts that do not follow from the trace."""
        entry = filed.entry
        yield from follow_from_domains(entry)
        try:
            if filed.unverified and (entry.trace is None or entry.trace.link):
                met = set(map(str, self.shelf.shared(entry)["domain_names"]))
                if met != entry.result.error_by_domain.keys():
                    yield "result.error_by_domain", "the domains are not those of the stream"
                return  # shown with that mark
            trace = self.shelf.trace(filed)
        except (ValueError, TypeError) as error:
            yield "trace", str(error)
            return
        yield from recomputed(entry, trace)

    def against(self, entry: Entry, installed: Installed) -> Iterator[tuple[str, str]]:
        """What differs from the installed configurations, and from a re-run."""
        differing = list(configured(entry, installed))
        yield from differing
        if self.rerun is not None and not differing:
            yield from self.rerun(entry, installed)


def placed(filed: Filed) -> Iterator[tuple[str, str]]:
    """The file lies where its content says."""
    expected = filed.entry.place.as_posix()
    if filed.where != expected:
        yield "result.identity", f"expected the file at {expected}"


def consistent(entry: Entry) -> Iterator[tuple[str, str]]:
    """Fields that say the same thing twice do so."""
    result = entry.result
    for name, value, other, expected in (
        ("result.config.names", result.config["names"], "rerun", entry.rerun.groups),
        ("result.method.name", result.method.name, "rerun.method", entry.rerun.method),
        ("result.seeds.method", result.seeds["method"], "config.seed", result.config["seed"]),
        (
            "result.seeds.stream",
            result.seeds["stream"],
            "config.stream.seed",
            result.config["stream"].get("seed", 0),
        ),
    ):
        if value != expected:
            yield name, f"expected that of {other}, {shortened(expected)}, got {shortened(value)}"


def hashes(entry: Entry, known: Known) -> Iterator[tuple[str, str]]:
    """Stream, images and weights are known ones."""
    result, hint = entry.result, "; see 'New streams and weights' in leaderboard/README.md"
    weights = result.model.get("weights_sha256")
    if weights not in known.weights:
        yield "result.model.weights_sha256", f"unknown weights {shortened(weights)}{hint}"
    elif known.weights[weights] != entry.rerun.model:
        name = known.weights[weights]
        yield "result.model.weights_sha256", f"these are the weights of {shortened(name)}"
    stream = known.streams.get(result.stream.stream_sha256)
    if stream is None:
        sha256 = shortened(result.stream.stream_sha256)
        yield "result.stream.stream_sha256", f"unknown stream {sha256}{hint}"
        return
    for name, value, expected in (
        ("stream.protocol_sha256", result.stream.protocol_sha256, stream.protocol_sha256),
        ("data.data_sha256", result.data.data_sha256, stream.data_sha256),
    ):
        if value != expected:
            yield f"result.{name}", f"expected {expected[:12]} of that stream, got {value[:12]!a}"


def versions(entry: Entry) -> Iterator[tuple[str, str]]:
    """The metrics are the installed ones."""
    if entry.result.metrics_version != METRICS_VERSION:
        yield (
            "result.metrics_version",
            f"expected {METRICS_VERSION}, got {entry.result.metrics_version}; run it again",
        )


def source_data(entry: Entry) -> Iterator[tuple[str, str]]:
    """Who says to use no source data has recorded none, and the other way round."""
    result = entry.result
    used = result.source_data is not None or result.artefact is not None
    if used != result.method.uses_source_data:
        says, has = ("uses", "none") if result.method.uses_source_data else ("uses no", "some")
        yield (
            "result.method.uses_source_data",
            f"the method {says} source data, but {has} are recorded (result.source_data, artefact)",
        )


def tuning(entry: Entry) -> Iterator[tuple[str, str]]:
    """The flag follows from the overrides and from the record of the choice."""
    record, kind = entry.result.tuning, entry.tuning.kind
    own = [key for key in entry.rerun.overrides if key.partition(".")[0] in METHOD_KEYS]
    if kind == "installed" and own:
        yield "tuning.kind", f"not as installed: {own[0]} is set; expected grid or own"
    if kind == "grid" and record is None:
        yield "tuning.kind", "no choice by sweep=tune is recorded; expected installed or own"
    if kind == "grid" and record is not None and record.on_its_own_stream:
        yield "tuning.kind", "the values were chosen on the stream of the test; expected own"


def plausible(entry: Entry) -> Iterator[tuple[str, str]]:
    """An error far below the best published one makes a question."""
    best = min(comparable_published(entry), key=lambda row: row.value, default=None)
    error = entry.result.metrics["error_pct"]
    if best is not None and error < FAR_BETTER * best.value:
        yield (
            "result.metrics.error_pct",
            f"{error:.2f} is far below the best published, {best.value:g} ({best.method}, "
            f"{best.source}); has anything seen the test's labels?",
        )


def comparable_published(entry: Entry) -> list[PublishedRow]:
    """Published errors of the entry's benchmark, setting and source model."""
    rerun = entry.rerun
    return [
        row
        for row in published_rows()
        if (row.benchmark, row.setting, row.model) == (rerun.dataset, rerun.stream, rerun.model)
        and row.metric == "error_pct"
    ]


def recomputed(entry: Entry, trace: Trace) -> Iterator[tuple[str, str]]:
    """What the trace says otherwise."""
    result = entry.result
    yield from possible(trace)
    metrics = summarise(trace)
    for name in result.metrics.keys() - metrics.keys() - {*FROM_CLEAN_IMAGES}:
        yield f"result.metrics.{name}", "no metric of this version"
    for name, value in metrics.items():
        within = EXACT if name.endswith("_pct") else ROUNDED
        yield from compared(f"result.metrics.{name}", result.metrics.get(name), value, within)
    clean = [result.metrics.get(name) for name in FROM_CLEAN_IMAGES]
    if None not in clean:
        before, after, difference = (float(value) for value in clean if value is not None)
        yield from compared("result.metrics.forgetting_pct", difference, after - before, EXACT)
    errors = error_by_domain(trace)
    for name in errors.keys() | result.error_by_domain.keys():
        yield from compared(
            f"result.error_by_domain.{name}",
            result.error_by_domain.get(name),
            errors.get(name),
            EXACT,
        )
    costs = result.costs
    assert costs is not None  # see `lacking`
    counted = cost_record(
        trace,
        exclusive=costs.exclusive,
        kernels_ran=set(costs.kernels),
        peak=costs.peak_mib,
        flops=costs.flops_per_sample,
    )
    for name in (*COUNTED, "adapt_seconds", "data_seconds", "samples_per_second"):
        then, now = getattr(costs, name), getattr(counted, name)
        within = 1e-4 * max(abs(now), 1e-6)  # seconds are kept in float32
        yield from compared(f"result.costs.{name}", then, now, within)


def follow_from_domains(entry: Entry) -> Iterator[tuple[str, str]]:
    """The headline is the mean over the domains, and errors are between 0 and 100 %."""
    errors = entry.result.error_by_domain
    for name, value in errors.items():
        if not 0 <= value <= 100:
            yield f"result.error_by_domain.{name}", f"expected 0 to 100, got {value:.6g}"
    mean = sum(errors.values()) / len(errors)
    error = entry.result.metrics["error_pct"]
    if not math.isclose(error, mean, rel_tol=0, abs_tol=EXACT):
        yield (
            "result.metrics.error_pct",
            f"the mean over the domains is {mean:.6g}, got {error:.6g}",
        )


def possible(trace: Trace) -> Iterator[tuple[str, str]]:
    """Predictions and probabilities that cannot come from one distribution."""
    top, squares = (trace.samples[name].astype(float) for name in ("top_prob", "sum_sq_prob"))
    label = np.exp(trace.samples["label_logprob"].astype(float))
    gap = np.where(wrong(trace), np.maximum(label - top, 0), np.abs(label - top))
    n = int((gap > PROBABILITY).sum())
    if n:
        yield "trace.prediction", f"{n} predictions are not the most probable class"
    n = int(((squares < top**2 - PROBABILITY) | (squares > top + PROBABILITY)).sum())
    if n:
        yield "trace.sum_sq_prob", f"{n} values are impossible for their top probability"


def compared(
    name: str, value: float | None, expected: float | None, within: float
) -> Iterator[tuple[str, str]]:
    """Whether two numbers are the same."""
    if value is None or expected is None:
        if value is not expected:
            yield name, f"the trace says {expected}, the record {value}"
    elif not math.isclose(value, expected, rel_tol=0, abs_tol=within):
        yield name, f"the trace says {expected:.6g}, the record {value:.6g}"


def configured(entry: Entry, installed: Installed) -> Iterator[tuple[str, str]]:
    """Configuration, method and identity are those of the installed configurations."""
    result = entry.result
    composed = shown_config(dict(installed.config))
    old, new = flat(result.config), flat(composed)
    differing = False
    for key in sorted(old):
        if key not in new:
            differing = True
            yield f"result.config.{key}", "no such key in the installed configuration"
        elif old[key] != new[key] or isinstance(old[key], bool) != isinstance(new[key], bool):
            differing = True
            expected, got = shortened(new[key]), shortened(old[key])
            yield f"result.config.{key}", f"expected {expected}, as composed, got {got}"
    target = installed.config["method"]["_target_"]
    if result.method.target != target:
        yield "result.method.target", f"expected {target}, got {shortened(result.method.target)}"
    if installed.version not in (None, result.method.version):
        yield (
            "result.method.version",
            f"the installed method has {installed.version}, got {result.method.version}",
        )
    if installed.uses_source_data and not result.method.uses_source_data:
        yield "result.method.uses_source_data", "the installed method uses source data, got false"
    if not differing:
        yield from identified(entry, installed)


def identified(entry: Entry, installed: Installed) -> Iterator[tuple[str, str]]:
    """The identity follows from the configuration, the hashes and the versions."""
    result = entry.result
    config = with_code({**result.config}, installed.config)
    identity = run_identity(
        config,
        weights=result.model.get("weights_sha256"),
        artefact=result.artefact and result.artefact.sha256,
        method=result.method.version,
        stream=result.stream.stream_sha256,
        metrics=result.metrics_version,
    )
    if identity != result.identity:
        yield (
            "result.identity",
            f"expected {identity[:12]}, which follows from the record, got "
            f"{shortened(result.identity[:12])}",
        )


def with_code(node: Any, composed: Any) -> Any:
    """``node`` with the keys of ``composed`` that name code."""
    if not isinstance(node, dict) or not isinstance(composed, Mapping):
        return node
    code = {key: value for key, value in composed.items() if key.startswith("_")}
    return {**code, **{key: with_code(value, composed.get(key)) for key, value in node.items()}}
