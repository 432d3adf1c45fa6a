"""The settings of the field by name: a schedule, its severities, its resets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from ctta.streams.dirichlet import correlated_note, correlated_rotta, mixed_correlated_note
from ctta.streams.label_shift import label_shift
from ctta.streams.markov import markov
from ctta.streams.schedules import (
    Schedule,
    continually_changing,
    correlated,
    mixed,
    mixed_correlated,
    one_after_the_other,
)

Parameters = Mapping[str, float | None]


@dataclass(frozen=True)
class Setting:
    """How a stream is made of the domains.

    Attributes:
        schedule: orders the samples.
        resets: the method is reset before each segment.
        gradual: each corruption's severity rises and falls; else it is the data set's.
        one_list: all rounds are one segment.
    """

    schedule: Schedule
    resets: bool = False
    gradual: bool = False
    one_list: bool = False

    def parameters(self) -> list[str]:
        """Names of the schedule's own parameters; the batch size is the stream's."""
        found = inspect.signature(self.schedule).parameters.values()
        return [p.name for p in found if p.kind is p.KEYWORD_ONLY and p.name != "batch_size"]

    def bound(self, parameters: Parameters, batch_size: int) -> dict[str, float | None]:
        """What the schedule is called with.

        Raises:
            ValueError: a parameter that it does not have, or one that is missing.
        """
        known = self.parameters()
        for name in parameters:
            if name not in known:
                takes = ", ".join(known) or "no parameters"
                raise ValueError(f"parameters.{name}: unknown; this setting takes {takes}")
        for name in known:
            if name not in parameters:
                raise ValueError(
                    f"parameters.{name}: expected a value, got none; type "
                    f"+stream.parameters.{name}=..."
                )
        takes_size = "batch_size" in inspect.signature(self.schedule).parameters
        return {**parameters, **({"batch_size": batch_size} if takes_size else {})}


SETTINGS: dict[str, Setting] = {
    "continual": Setting(one_after_the_other),
    "reset_each": Setting(one_after_the_other, resets=True),
    "gradual": Setting(one_after_the_other, gradual=True),
    "mixed": Setting(mixed),
    "correlated": Setting(correlated),
    "reset_each_correlated": Setting(correlated, resets=True),
    "gradual_correlated": Setting(correlated, gradual=True),
    "mixed_correlated": Setting(mixed_correlated),
    "correlated_note": Setting(correlated_note),
    "mixed_correlated_note": Setting(mixed_correlated_note),
    "correlated_rotta": Setting(correlated_rotta, one_list=True),
    "cdc": Setting(continually_changing),
    "label_shift": Setting(label_shift, resets=True),
    "markov": Setting(markov),
}
