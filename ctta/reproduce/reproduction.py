"""A published number, run again: the source error first, then the method, then a verdict."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctta.assets import asset_dir
from ctta.leaderboard.published import PublishedRow, about, best_first, published_rows
from ctta.models.published import CardError
from ctta.online.trace import Trace
from ctta.places import runs_dir
from ctta.reproduce.verdict import (
    ERRORS,
    Line,
    Verdict,
    as_error,
    by_corruption,
    corruption_lines,
    mean_error,
    tolerance,
)
from ctta.results.compare import SAME_WITHIN_PCT, differing, flat
from ctta.results.identity import deciding
from ctta.results.result import Result
from ctta.results.run import Experiment
from ctta.results.store import RunStore

log = logging.getLogger("ctta")
# Overrides that move no number, or none that the run itself does not check.
FREE = ("paths", "tracking", "progress", "force", "trace")
FREE_KEYS = (
    "compute.device",
    "compute.threads",
    "compute.memory_mib",
    "compute.prefetch",
    "dataset.workers",
    "dataset.list_file",
    "model.weights",
)


class Reproduction:
    """A row of the table, and the runs of its configuration.

    Args:
        name: ``<method>/<benchmark>/<protocol>``.
        overrides: of the configuration; one that may move a number makes the verdict FAIL.

    Raises:
        ValueError: no such row, or one without a configuration.
    """

    def __init__(self, name: str, overrides: Sequence[str] = ()) -> None:
        self.name = name
        self.rows = best_first([row for row in published_rows() if row.name == name])
        if not self.rows:
            raise ValueError(unknown(name))
        self.row = self.rows[0]
        assert self.row.experiment is not None
        self.experiment: str = self.row.experiment
        self.then = record(self.experiment)
        self.results: list[tuple[Result, Trace]] = []
        self.source: tuple[Result, Trace] | None = None
        self.lines: list[Line] = []
        self.causes: list[str] = []
        if self.then is None:  # a record tells of a changed value whatever the override was
            self.causes += [
                f"{o} is not as published" for o in overrides if not free(o.partition("=")[0])
            ]

    def run(self, experiment: Experiment) -> None:
        """Check the source error, once; then run, unless it does not hold.

        Raises:
            ValueError: what stopped a run, but for a model that is not as its card says: that is a
                cause.
        """
        if self.then is not None:
            self.causes += unlike(self.then.config, experiment.config)
        try:
            if self.source is None and self.row.method != "source":
                self.check_source(Experiment(of_source(experiment.config)))
            if not self.source_holds:
                return
            self.add(*executed(experiment))
        except ValueError as error:
            if not isinstance(error.__cause__, CardError):
                raise
            self.causes.append(str(error))

    @property
    def source_holds(self) -> bool:
        """No source error was checked, or it is the expected one."""
        return all(line.within for line in self.lines)

    def check_source(self, experiment: Experiment) -> None:
        """Run the source model over the same images, and compare with what is expected of it."""
        self.source = executed(experiment)
        result, trace = self.source
        expected = self.expected_source(result)
        if expected is None:
            log.warning("no error of the source model is published for these images")
            return
        error, said = expected
        line = Line("source model", error, mean_error(trace), SAME_WITHIN_PCT)
        self.lines.append(line)
        if not line.within:
            self.causes.append(
                f"source model: expected an error of {error:g} % ({said}), got "
                f"{line.obtained:.2f} %: images, weights or normalisation are not those of the "
                "row, and the method was not run"
            )

    def expected_source(self, result: Result) -> tuple[float, str] | None:
        """Error of the source model and where it was read; None: not published.

        The table's own source row is measured under the same conditions; a severity that rises and
        falls is not, as the check has one severity. Else it is the model's card that says.
        """
        place = self.experiment.rpartition("/")[0]
        for row in best_first([r for r in published_rows() if r.experiment == f"{place}/source"]):
            if row.metric in ERRORS and not isinstance(row.severity, str):
                return as_error(row), f"{row.source}, {row.table}"
        identity = result.data.identity
        for known in result.model.get("source_errors", []):
            of_files = str(identity.get("preprocessing")).removesuffix("uint8 / 255")
            same = (
                known["data"] == identity.get("id")
                and known["preprocessing"] == (of_files.removesuffix(", ") or "as stored")
                and known["list_sha256"] in (None, identity.get("list_sha256"))
            )
            if same:
                return known["error_pct"], f"card of {result.model['name']}: {known['source']}"
        return None

    def add(self, result: Result, trace: Trace) -> None:
        """One run of the row, with what is not as the row has it."""
        self.results.append((result, trace))
        self.causes += result.model.get("deviations", [])
        if self.then is not None:
            self.causes += differences(hashes(self.then), hashes(result))

    def verdict(self) -> Verdict:
        """Compare the runs with what is published."""
        lines, causes = list(self.lines), list(dict.fromkeys(self.causes))
        if self.results:
            traces = [trace for _, trace in self.results]
            lines += corruption_lines(self.row, traces)
            lines.append(Line("mean", self.row.value, self.obtained(self.row), tolerance(self.row)))
            lines += [
                Line(f"{r.metric}, {r.source} {r.table}", r.value, self.obtained(r), None)
                for r in self.rows[1:]
            ]
            off = [line for line in lines if not line.within]
            if off:
                # The mean, where it is off; else the corruption that is furthest off.
                worst = max(off, key=lambda line: (line.what == "mean", abs(line.difference)))
                others = f"; {len(off) - 1} more differ" if len(off) > 1 else ""
                causes.append(
                    f"{worst.what}: expected {worst.published:g}, got {worst.obtained:.2f}, which "
                    f"is more than {worst.tolerance:.2f} away{others}"
                )
                causes += self.suspicions(traces)
        return Verdict(self.name, self.row, lines, causes)

    def obtained(self, row: PublishedRow) -> float:
        """The row's metric, as a mean over the runs."""
        if row.metric in ERRORS:
            error = float(np.mean([mean_error(trace) for _, trace in self.results]))
            return error if row.metric == "error_pct" else 100 - error
        return float(np.mean([result.metrics[row.metric] for result, _ in self.results]))

    def suspicions(self, traces: Sequence[Trace]) -> list[str]:
        """What numbers that differ look like."""
        found = []
        if self.then is not None and not self.causes:
            now = self.results[0][0]
            old, new = (
                {**r.data.model_dump(), "version of the method": r.method.version}
                for r in (self.then, now)
            )
            found += differences(old, new) or [
                "configuration, weights, stream and images are those of the record"
            ]
        cells = self.row.by_corruption
        if self.source is not None and cells:
            own, plain = by_corruption(traces), by_corruption([self.source[1]])
            shared = sorted(own.keys() & plain.keys() & cells.keys())
            to_source = np.mean([abs(own[name] - plain[name]) for name in shared])
            to_row = np.mean([abs(own[name] - cells[name]) for name in shared])
            if to_source < to_row:
                found.append(
                    f"the errors are nearer to those of the unadapted model ({to_source:.1f} "
                    f"points) than to the row's ({to_row:.1f}): batch norm with the source's "
                    "statistics (eval mode) gives such errors, as does a learning rate of zero"
                )
        return found


def unknown(name: str) -> str:
    """What to say of a name that no row with a configuration has."""
    names = sorted({row.name for row in published_rows() if row.name})
    method, _, rest = name.partition("/")
    benchmark = rest.partition("/")[0]
    without = {
        about().reasons[row.reason]
        for row in published_rows()
        if row.reason and row.method == method and row.benchmark == benchmark
    }
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
    reason = f"; without a configuration, because: {' '.join(sorted(without))}" if without else ""
    return (
        f"expected <method>/<benchmark>/<protocol>, as {', '.join(near or names[:3])}, got "
        f"{name!r}{reason}; type 'ctta reproduce list'"
    )


def record(experiment: str) -> Result | None:
    """The record of our own row; None: the row is from a paper."""
    path: Path = asset_dir("published") / "records" / f"{experiment}.json"
    return Result.load(path) if path.is_file() else None


def free(key: str) -> bool:
    """Whether an override of ``key`` leaves the numbers as they are."""
    key = key.lstrip("+~")
    return key.partition(".")[0] in FREE or key in FREE_KEYS


def of_source(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the source model alone, over every image once."""
    stream = {
        "_target_": "ctta.streams.stream.CorruptionStream",
        "setting": "continual",
        "batch_size": config["stream"]["batch_size"],
        "shuffle": False,
        "seed": 0,
    }
    return {
        **config,
        "seed": 0,
        "stream": stream,
        "online": {**config["online"], "window": 1, "eta": None},
        "method": {"_target_": "ctta.methods.source.Source"},
        "optimizer": dict.fromkeys(config["optimizer"]),
        "names": {**config["names"], "stream": "continual", "method": "source"},
    }


def executed(experiment: Experiment) -> tuple[Result, Trace]:
    """Run it, or look it up, with its trace."""
    store = RunStore(runs_dir(experiment.config["paths"]["runs"]))
    result = experiment.run(store)
    names = experiment.config["names"]
    folder = store.folder(names["method"], names["dataset"], result.identity)
    return result, Trace.load(folder / "trace.npz")


def unlike(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of two configurations decides numbers and is not the same."""
    old, new = (
        flat({**deciding(config), "compute": {"dtype": config["compute"]["dtype"]}})
        for config in (then, now)  # devices and threads move bits, which the tolerance allows for
    )
    new = {k: v for k, v in new.items() if k in old or v}  # a key that came later has its default
    return differences(old, new)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One sentence for each key that differs."""
    return [f"{key}: expected {then}, got {now}" for key, then, now in differing(old, new)]


def hashes(result: Result) -> dict[str, Any]:
    """What a stream and a source model are known by."""
    return {
        "protocol_sha256": result.stream.protocol_sha256,
        "stream_sha256": result.stream.stream_sha256,
        "weights_sha256": result.model.get("weights_sha256"),
    }
