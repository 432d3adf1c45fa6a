"""An entry of the leaderboard: a result, who made it, and how to run it again.

`leaderboard/entries/<benchmark>/<method>/<identity>.json`. Of the run's configuration it keeps the
values and drops what names code: a re-run starts from the names of groups and from scalars.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from ctta.leaderboard.wording import (
    MAX_BYTES,
    NAME,
    Link,
    Scalar,
    Sha256,
    Text,
    executable,
    printable,
    read_json,
    unfit,
    wrong_override,
)
from ctta.results.identity import deciding
from ctta.results.result import Result, Strict

ENTRY_VERSION = 1
GROUPS = ("dataset", "stream", "model", "method")
Name = Annotated[str, Field(pattern=NAME, max_length=80)]


class Rerun(Strict):
    """What to compose to run an entry again: `ctta run <groups> <overrides>`.

    Attributes:
        dataset: name of the data set's configuration.
        stream: of the stream's.
        model: of the source model's.
        method: of the method's.
        overrides: key -> a number, a word, true, false or null.
    """

    dataset: Name
    stream: Name
    model: Name
    method: Name
    overrides: dict[str, Scalar]

    @field_validator("overrides")
    @classmethod
    def harmless(cls, overrides: dict[str, Scalar]) -> dict[str, Scalar]:
        """Refuse keys and values that could name files or code."""
        for key, value in overrides.items():
            reason = wrong_override(key, value)
            if reason is not None:
                raise ValueError(f"{key[:60]!a}: {reason}")
        return overrides

    @property
    def groups(self) -> dict[str, str]:
        """Group -> chosen name."""
        return {group: getattr(self, group) for group in GROUPS}


class Tuning(Strict):
    """How the method's values were chosen.

    Attributes:
        kind: ``installed``, the installed configuration's; ``grid``, by ``sweep=tune``, the one
            grid of every method; ``own``, in any other way.
        statement: in words.
    """

    kind: Literal["installed", "grid", "own"]
    statement: Text

    @property
    def equal(self) -> bool:
        """Chosen as those of the other methods were."""
        return self.kind != "own"


class ShippedTrace(Strict):
    """The trace, see `ctta.leaderboard.shipped`.

    Attributes:
        sha256: of the file.
        link: where it lies; None: beside the entry, as ``<identity>.npz``.
    """

    sha256: Sha256
    link: Link | None = None


class Entry(Strict):
    """One run on the leaderboard.

    Attributes:
        schema_version: of this record.
        authors: of the entry.
        paper: of the method.
        code: of the method.
        tuning: how its values were chosen.
        hardware: in words.
        trace: None: the entry is not verifiable, and is shown as such.
        rerun: what to run.
        result: the run's record; its configuration as `shown_config`.
    """

    schema_version: Literal[1]
    authors: Annotated[list[Text], Field(min_length=1, max_length=50)]
    paper: Link | None
    code: Link | None
    tuning: Tuning
    hardware: Text
    trace: ShippedTrace | None
    rerun: Rerun
    result: Result

    @property
    def benchmark(self) -> str:
        """The data set's name."""
        return self.rerun.dataset

    @property
    def place(self) -> Path:
        """Where it belongs, below the folder of entries."""
        return Path(self.benchmark, self.rerun.method, f"{self.result.identity}.json")

    def to_json(self) -> str:
        """As indented JSON."""
        return json.dumps(self.model_dump(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Entry:
        """Read an entry.

        Raises:
            ValueError: no JSON, another schema, a field that is unknown, missing or does not fit,
                or something that could be executed; one line a problem, with the field's path.
        """
        values = read_json(text, where)
        version = values.get("schema_version") if isinstance(values, dict) else None
        if version != ENTRY_VERSION:
            raise ValueError(
                f"{where}: schema_version: expected {ENTRY_VERSION}, got {version!a:.60}; "
                "make it with 'ctta leaderboard add'"
            )
        lines = [printable(f"{where}: {line}") for line in executable(values)]
        if lines:
            raise ValueError("\n".join(lines))
        try:
            entry = cls.model_validate(values)
        except ValidationError as error:
            lines = [printable(f"{where}: {line}") for line in unfit(error)]
            raise ValueError("\n".join(lines)) from None
        missing = [f"{where}: {line}" for line in lacking(entry.result)]
        if missing:
            raise ValueError("\n".join(missing))
        return entry

    @classmethod
    def load(cls, path: Path, *, where: str | None = None) -> Entry:
        """Read an entry from a file; errors name it as ``where``.

        Raises:
            ValueError: no such file, a huge one, or see `from_json`.
        """
        where = where or str(path)
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise ValueError(f"{where}: expected at most {MAX_BYTES} bytes, got {size}")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{where} cannot be read: {error}") from None
        return cls.from_json(text, where=where)


def lacking(result: Result) -> list[str]:
    """What a record on the leaderboard needs and a record in general does not."""
    found = []
    if result.status != "finished":
        found.append(f"result.status: expected finished, got {result.status}")
    for key in ("names", "seed", *GROUPS, "online", "compute"):
        kind = int if key == "seed" else dict
        if not isinstance(result.config.get(key), kind):
            found.append(f"result.config.{key}: expected {kind.__name__}, got nothing like it")
    for key in ("method", "stream"):
        if key not in result.seeds:
            found.append(f"result.seeds.{key}: expected a number, got none")
    if result.costs is None or not result.costs.samples_per_second > 0:
        found.append("result.costs.samples_per_second: expected more than 0, got none")
    if not isinstance(result.model.get("weights_sha256"), str):
        found.append("result.model.weights_sha256: expected a hash, got none")
    deviations = result.model.get("deviations", [])
    if not isinstance(deviations, list) or not all(isinstance(d, str) for d in deviations):
        found.append("result.model.deviations: expected a list of sentences")
    if "error_pct" not in result.metrics:
        found.append("result.metrics.error_pct: expected a number, got none")
    if not result.error_by_domain:
        found.append("result.error_by_domain: expected errors, got none")
    if result.trace_sha256 is None:
        found.append("result.trace_sha256: expected a hash, got none")
    return found


def shown_config(config: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration an entry keeps: keys that decide numbers, without names of code."""
    values: dict[str, Any] = without_code(deciding(config))
    return {**values, "names": config["names"]}


def without_code(node: Any) -> Any:
    """``node`` without the keys that begin with an underscore, at any depth."""
    if isinstance(node, dict):
        return {k: without_code(v) for k, v in node.items() if not k.startswith("_")}
    return [without_code(v) for v in node] if isinstance(node, list) else node


def typed(value: Scalar) -> str:
    """A scalar as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)
