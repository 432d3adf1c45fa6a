"""From the folder of a run to an entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctta.leaderboard.check import tuning
from ctta.leaderboard.entry import ENTRY_VERSION, GROUPS, Entry, shown_config
from ctta.leaderboard.shelf import Known, KnownStream, Shelf
from ctta.leaderboard.shipped import own_part, read_arrays, stream_part, write_arrays
from ctta.leaderboard.wording import ROOTS, Scalar, shortened, wrong_override
from ctta.online.trace import Trace
from ctta.results.compare import flat
from ctta.results.identity import deciding
from ctta.results.result import Result, write_text

Compose = Callable[[Mapping[str, str], Mapping[str, Scalar]], dict[str, Any]]

BESIDE = (  # decide no number: see `ctta.results.identity`
    "online.checkpoint_every",
    "compute.prefetch",
    "dataset.root",
    "dataset.workers",
)


@dataclass(frozen=True)
class Statement:
    """What a record does not know.

    Attributes:
        authors: of the entry.
        paper: link; None: there is none.
        code: link; None: there is none.
        tuning: how the values were chosen, in words.
        kind: of the tuning; None: found out, see `tuning_kind`.
        hardware: in words; None: what the record says.
        link: where the trace will lie; None: beside the entry.
    """

    authors: list[str]
    paper: str | None
    code: str | None
    tuning: str
    kind: str | None
    hardware: str | None
    link: str | None


def add(
    shelf: Shelf, folder: Path, statement: Statement, compose: Compose, *, new_hashes: bool
) -> Path:
    """Write the entry of the run in ``folder``, its trace, and what its stream determines.

    Args:
        shelf: the folder of entries.
        folder: of the run.
        statement: what the record does not know.
        compose: the installed configuration of groups and overrides.
        new_hashes: a stream or weights that are not known yet become known.

    Raises:
        ValueError: a failed run, a kind of tuning that the record contradicts, a configuration
            that groups and scalars do not describe, unknown hashes, or a field that an entry may
            not have.
    """
    result = Result.load(folder / "result.json")
    if result.status != "finished":
        raise ValueError(f"{folder} is a failed run ({result.reason}); add finished ones")
    trace = Trace.load(folder / "trace.npz")
    if trace.sha256() != result.trace_sha256:
        raise ValueError(f"{folder}: trace.npz is not the trace of result.json; run it again")
    groups = {group: result.config["names"][group] for group in GROUPS}
    overrides = scalars(result.config, groups, compose)
    values: dict[str, Any] = {
        "schema_version": ENTRY_VERSION,
        "authors": statement.authors,
        "paper": statement.paper,
        "code": statement.code,
        "tuning": {
            "kind": statement.kind or tuning_kind(result, overrides),
            "statement": statement.tuning,
        },
        "hardware": statement.hardware or hardware(result),
        "trace": {"sha256": "0" * 64, "link": statement.link},
        "rerun": {**groups, "overrides": overrides},
        "result": {**result.model_dump(), "config": shown_config(result.config)},
    }
    checked = Entry.from_json(as_json(values), where=str(folder))
    for name, text in tuning(checked):
        raise ValueError(f"{folder}: {name}: {text}")
    known = shelf.known(checked.benchmark)
    path = shelf.root / checked.place
    path.parent.mkdir(parents=True, exist_ok=True)
    known = with_stream(shelf, checked, trace, known, new_hashes)
    values["trace"]["sha256"] = write_arrays(path.with_suffix(".npz"), own_part(trace))
    write_text(path, Entry.from_json(as_json(values), where=str(folder)).to_json())
    shelf.keep_known(checked.benchmark, known)
    return path


def scalars(
    config: Mapping[str, Any], groups: Mapping[str, str], compose: Compose
) -> dict[str, Scalar]:
    """The overrides with which the groups compose to ``config``.

    Raises:
        ValueError: something differs that no scalar describes.
    """
    wanted = {key: config[key] for key in ROOTS}
    composed = compose(groups, {})
    then, now = flat(wanted), flat(composed)
    overrides: dict[str, Scalar] = {}
    for key, value in then.items():
        # The method's optimizer is a reference to the node `optimizer`, which is compared itself.
        inner = key.startswith("method.") and "optimizer" in key.split(".")
        if key in now and value != now[key] and not inner and key not in BESIDE:
            reason = wrong_override(key, value) if not isinstance(value, list) else "got a list"
            if reason is not None:
                raise ValueError(f"{key}={shortened(value)}: {reason}; an entry needs a scalar")
            overrides[key] = value
    found = flat(deciding(compose(groups, overrides)))
    for key, value in flat(deciding(config)).items():
        if found.get(key) != value:
            raise ValueError(
                f"{key}: groups and scalars give {shortened(found.get(key))}, the run had "
                f"{shortened(value)}; write a configuration for it and run that"
            )
    return overrides


def tuning_kind(result: Result, overrides: Mapping[str, Scalar]) -> str:
    """How the values were chosen, as far as the record says."""
    if not any(key.startswith(("method.", "optimizer.")) for key in overrides):
        return "installed"
    chosen = result.tuning
    return "own" if chosen is None or chosen.on_its_own_stream else "grid"


def hardware(result: Result) -> str:
    """What the record says of the machine."""
    found = result.environment
    return (
        f"{found['device']}, {found['threads']} threads, {found['instruction_set']}, "
        f"{found['machine']}, torch {found['torch']}"
    )


def with_stream(shelf: Shelf, entry: Entry, trace: Trace, known: Known, new_hashes: bool) -> Known:
    """``known`` with the entry's stream and weights in it.

    Raises:
        ValueError: they are not, and ``new_hashes`` is false; or the stream's labels are others.
    """
    result = entry.result
    weights, stream = str(result.model.get("weights_sha256")), result.stream.stream_sha256
    new = [
        *([] if weights in known.weights else [f"weights {weights[:12]} of {entry.rerun.model}"]),
        *([] if stream in known.streams else [f"stream {stream[:12]} ({result.stream.name})"]),
    ]
    if new and not new_hashes:
        raise ValueError(
            f"{' and '.join(new)}: not known in {shelf.root}; if they are right, --new-hashes "
            "writes them down for others to look at"
        )
    part = stream_part(trace)
    path = shelf.known_path(entry.benchmark, f"{stream}.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    if stream in known.streams:
        shared = read_arrays(path, known.streams[stream].file_sha256)
        if any((shared[name] != part[name]).any() for name in part):
            raise ValueError(f"{path}: samples or labels are not those of the run")
        return known
    written = KnownStream(
        protocol_sha256=result.stream.protocol_sha256,
        data_sha256=result.data.data_sha256,
        file_sha256=write_arrays(path, part),
    )
    return Known(
        weights={**known.weights, weights: entry.rerun.model},
        streams={**known.streams, stream: written},
    )


def as_json(values: dict[str, Any]) -> str:
    """For `Entry.from_json`."""
    return json.dumps(values, allow_nan=False)
