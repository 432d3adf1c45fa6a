"""The versioned record of one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ctta.places import whole_file

SCHEMA_VERSION = 1


class Strict(BaseModel):
    """Unknown keys and other types than declared are refused; NaN is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class MethodRecord(Strict):
    """The method: its configuration name, class and version."""

    name: str
    target: str
    version: int
    uses_source_data: bool


class StreamRecord(Strict):
    """The stream: name, version and both hashes."""

    name: str
    version: int
    protocol_sha256: str
    stream_sha256: str


class DataRecord(Strict):
    """The data set.

    Attributes:
        identity: what makes it this one.
        data_sha256: hash of the first batch of every segment as uint8.
        verified: its files match published checksums; null: that is not known.
    """

    identity: dict[str, Any]
    data_sha256: str
    verified: bool | None = None  # older records do not have it


class ArtefactRecord(Strict):
    """What a method prepared from source data.

    Attributes:
        sha256: of its content.
        seconds: to build it, or to read it from the cache.
        n_images: of the training data.
    """

    sha256: str
    seconds: float
    n_images: int


class ResumeRecord(Strict):
    """One time that the run went on from a checkpoint.

    Attributes:
        after_batch: batches that the checkpoint had.
        run_again: batches that the process before had done beyond them; null: it left no word.
        commit: of the checkout that went on.
    """

    after_batch: int
    run_again: int | None
    commit: str | None


class CostRecord(Strict):
    """Costs per batch (means over the run), and the peak of memory.

    Of a run that went on from a checkpoint, peak and kernels are those of its last process.

    Attributes:
        adapt_seconds: in the method, device-synchronised.
        data_seconds: waiting for the stream.
        samples_per_second: over the seconds in the method.
        exclusive: no other run was under way on this machine; null: that could not be told.
        forwards: of source models.
        backwards: through them.
        forwards_per_sample: images in those forwards over samples of the stream.
        backwards_per_sample: the same of the backwards.
        flops_per_sample: of a step on the first batch, products only; null: it could not be told.
        peak_mib: allocated on a CUDA device, else resident in the process.
        kernels: forms of parameter updates that ran: of cpu, gpu and reference.
    """

    adapt_seconds: float
    data_seconds: float
    samples_per_second: float
    exclusive: bool | None
    forwards: float
    backwards: float
    forwards_per_sample: float
    backwards_per_sample: float
    flops_per_sample: float | None
    peak_mib: float
    kernels: list[str]


class TuningRecord(Strict):
    """How values of a method were chosen.

    Attributes:
        values: the chosen ones, each as ``key=value``.
        budget: runs that the choice took.
        rank: of these values among the points of the grid, 1 the best.
        points: of the grid.
        dataset: on which the errors were measured.
        model: whose errors they were.
        domains: of it.
        on_its_own_stream: a corruption among them is in the run's stream too: the error is that of
            values which have seen the test.
    """

    values: list[str]
    budget: int
    rank: int
    points: int
    dataset: str
    model: str
    domains: list[str]
    on_its_own_stream: bool


class Result(Strict):
    """One run: metrics, and everything needed to run it again.

    Attributes:
        schema_version: of this record.
        status: ``finished``, or ``failed`` with a reason and without metrics.
        identity: hash of what decides the numbers.
        config: resolved configuration, with the chosen name of each group.
        model: the source model's card.
        seeds: of the method and of the stream.
        metrics: see `ctta.results.metrics.summarise`, with forgetting and its two parts.
        error_by_domain: in %.
        source_data: hash of the training data that the method used, or None.
        artefact: what it prepared from them, or None.
        tuning: how the method's values were chosen, where that was done here.
        resumes: each time that the run went on from a checkpoint.
    """

    schema_version: Literal[1]
    status: Literal["finished", "failed"]
    reason: str | None
    identity: str
    config: dict[str, Any]
    method: MethodRecord
    stream: StreamRecord
    data: DataRecord
    model: dict[str, Any]
    seeds: dict[str, int]
    metrics_version: int
    metrics: dict[str, float]
    error_by_domain: dict[str, float]
    costs: CostRecord | None
    source_data: str | None
    artefact: ArtefactRecord | None
    tuning: TuningRecord | None = None
    environment: dict[str, Any]
    trace_sha256: str | None
    resumes: list[ResumeRecord] = []

    def to_json(self) -> str:
        """As indented JSON."""
        return json.dumps(self.model_dump(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "result") -> Result:
        """Read a record.

        Raises:
            ValueError: not JSON, another schema version, or a field that is unknown, missing or
                of the wrong type; one line a problem, with the field's path.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is not JSON: {error}") from None
        version = values.get("schema_version") if isinstance(values, dict) else None
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"{where}: expected schema_version {SCHEMA_VERSION}, got {version!r}; "
                "read it with the version of ctta that wrote it"
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [
                f"{where}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                for problem in error.errors()
            ]
            raise ValueError("\n".join(lines)) from None

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a record from a file.

        Raises:
            ValueError: no such file, or see `from_json`.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read {path}: {error}") from None
        return cls.from_json(text, where=str(path))

    def save(self, path: Path) -> None:
        """Write to ``path``, which appears when it is whole."""
        write_text(path, self.to_json())


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, which appears when it is whole."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
