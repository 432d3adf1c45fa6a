"""A record against its own re-run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctta.results.result import Result

SAME_WITHIN_PCT = 0.5
"""Points of error up to which two runs on unlike machines count as the same numbers."""


@dataclass(frozen=True)
class Verdict:
    """What a re-run showed.

    Attributes:
        same_bits: the two traces are equal.
        largest_pct: largest difference of a domain's error, in points.
        differs: ``environment``, ``data``, ``weights``, ``code``, ``stream`` -> what, as
            "key: then -> now".
    """

    same_bits: bool
    largest_pct: float
    differs: Mapping[str, list[str]]

    @property
    def same(self) -> bool:
        """The record holds: same bits, or the same numbers."""
        return self.same_bits or self.largest_pct <= SAME_WITHIN_PCT

    def __str__(self) -> str:
        if self.same_bits:
            first = "same bits"
        elif self.same:
            first = f"same numbers within {self.largest_pct:.2f} points of error"
        else:
            first = f"different numbers: up to {self.largest_pct:.2f} points of error"
        lines = [first]
        for kind, changes in self.differs.items():
            lines += [f"  {kind} differs: {change}" for change in changes]
        if not self.same_bits and not self.differs:
            lines.append("  nothing recorded differs: a source of randomness is not under control")
        return "\n".join(lines)


def compare(then: Result, now: Result) -> Verdict:
    """Say whether ``now`` repeats ``then``, and what of their surroundings differs."""
    kinds = differences(then, now)
    domains = then.error_by_domain.keys() | now.error_by_domain.keys()
    largest = max(
        (
            abs(then.error_by_domain.get(d, 100.0) - now.error_by_domain.get(d, 0.0))
            for d in domains
        ),
        default=0.0,
    )
    return Verdict(
        same_bits=then.trace_sha256 == now.trace_sha256,
        largest_pct=largest,
        differs={kind: found for kind, found in kinds.items() if found},
    )


def differences(then: Result, now: Result) -> dict[str, list[str]]:
    """What surrounded the two runs, by kind, as `changes`; an empty list where nothing differs."""
    code = ("ctta", "commit", "plugins")
    old, new = then.environment, now.environment
    return {
        "environment": changes(
            *({k: v for k, v in e.items() if k not in code} for e in (old, new))
        ),
        "data": changes(*(r.data.model_dump(exclude={"verified"}) for r in (then, now))),
        "weights": changes(
            {"weights_sha256": then.model.get("weights_sha256")},
            {"weights_sha256": now.model.get("weights_sha256")},
        ),
        "code": changes(
            {**{k: old.get(k) for k in code}, "method": then.method.version},
            {**{k: new.get(k) for k in code}, "method": now.method.version},
        ),
        "stream": changes(then.stream.model_dump(), now.stream.model_dump()),
    }


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``key: then -> now`` for each key that differs."""
    return [f"{key}: {old} -> {new}" for key, old, new in differing(then, now)]


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each key of unlike values, sorted, with both values; None for one that is not there."""
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            yield key, then.get(key), now.get(key)


def flat(node: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The leaves of nested mappings, by their keys joined with dots."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found
