"""Published numbers, each with its source: `leaderboard/published`.

A file a benchmark holds a row a number; ``about.json`` says what their keys stand for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ctta.assets import asset_dir

EVIDENCE = (
    "own",
    "primary",
    "official_log",
    "official_readme",
    "official_repo_benchmark",
    "secondary",
)
"""From the best to the weakest; ``about.json`` says what each is."""
Errors = dict[str, Annotated[float, Field(ge=0, le=100)]]


class Strict(BaseModel):
    """Unknown keys are refused; NaN is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PublishedRow(Strict):
    """One published number.

    Attributes:
        benchmark: the data set's name here, which is the file's.
        method: its name here, if it is here.
        setting: of the stream, in the words of `configs/stream` where there is one.
        model: the name of the source model's configuration; None: not known, or there is none.
        architecture: in the document's words.
        metric: as ``error_pct``.
        value: of the metric.
        std: over seeds or orders, as published.
        by_corruption: of the first round.
        by_round: mean of each round.
        severity: of the images, or how it rises and falls.
        rounds: how often the corruptions come.
        order: of the corruptions.
        n_images: of each domain.
        batch_size: of the stream.
        seeds: that the value is a mean over.
        source: key in ``about.json``.
        table: where in the document.
        document: what was read.
        evidence: one of `EVIDENCE`.
        note: anything else.
        experiment: the configuration of this number, ``<benchmark>/<protocol>/<method>``.
        reason: key in ``about.json`` of why there is none.
    """

    benchmark: str
    method: str
    setting: str
    model: str | None = None
    architecture: str
    metric: str
    value: float
    std: float | None = None
    by_corruption: Errors | None = None
    by_round: list[float] | None = None
    severity: int | str | None = None
    rounds: int
    order: str
    n_images: int | None = None
    batch_size: int | None = None
    seeds: list[int] | None = None
    source: str
    table: str
    document: str
    evidence: Literal[
        "own",
        "primary",
        "official_log",
        "official_readme",
        "official_repo_benchmark",
        "secondary",
    ]
    note: str | None = None
    experiment: str | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def has_a_configuration_or_a_reason(self) -> PublishedRow:
        """One of the two, and never both."""
        if (self.experiment is None) == (self.reason is None):
            raise ValueError("expected either an experiment or a reason why there is none")
        return self

    @property
    def name(self) -> str | None:
        """``<method>/<benchmark>/<protocol>``, as it is typed; None without a configuration."""
        if self.experiment is None:
            return None
        place, _, method = self.experiment.rpartition("/")
        return f"{method}/{place}"


class About(Strict):
    """What the keys of the rows stand for, and what to know before comparing with them."""

    schema_name: str = Field(alias="schema")
    evidence: dict[str, str]
    sources: dict[str, str]
    reasons: dict[str, str]
    warnings: list[str]
    not_found: dict[str, str]


def about(folder: Path | None = None) -> About:
    """``about.json`` of ``folder``; None: the package's."""
    path = (folder or asset_dir("published")) / "about.json"
    return About.model_validate_json(path.read_text(encoding="utf-8"))


def read_rows(path: Path) -> list[PublishedRow]:
    """The rows of one file.

    Raises:
        ValueError: not JSON, or a field that is unknown, missing or does not fit; a line a problem.
    """
    try:
        values: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[PublishedRow]).validate_python(
            [{"benchmark": path.stem, **row} for row in values]
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ValueError("\n".join(lines)) from None


@cache
def published_rows() -> Sequence[PublishedRow]:
    """All rows, by benchmark."""
    files = sorted(asset_dir("published").glob("*.json"))
    return [row for path in files if path.stem != "about" for row in read_rows(path)]


def best_first(rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """Rows by their evidence; those that say more about it first among equals."""
    return sorted(rows, key=lambda r: (EVIDENCE.index(r.evidence), r.by_corruption is None))
