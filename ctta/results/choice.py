"""Which runs of a store are meant: filters as `key=value`, and names of single runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctta.results.index import SHOWN, STATUSES, Run

NAMES = {"stream.seed": "stream_seed"}
ABSENT = object()


def chosen(runs: Sequence[Run], filters: Sequence[str]) -> list[Run]:
    """The runs that have, for every filter, one of its values.

    Args:
        runs: all of them.
        filters: ``key=value`` or ``key=value,value``; a key is a column (method, status, ...) or
            one of the configuration's (optimizer.lr).

    Raises:
        ValueError: not of that form, or a key that no run has.
    """
    for text in filters:
        key, sign, values = text.partition("=")
        if not sign or not values:
            raise ValueError(f"expected key=value, such as status=failed, got {text!r}")
        wanted = values.split(",")
        if key == "status" and not set(wanted) <= set(STATUSES):
            raise ValueError(f"status: expected {', '.join(STATUSES)}, got {values!r}")
        found = [value_of(run, key) for run in runs]
        if runs and all(value is ABSENT for value in found):
            raise ValueError(
                f"{key}: no run has this key; expected {', '.join(SHOWN)}, or a key of the "
                "configuration such as optimizer.lr"
            )
        runs = [
            run
            for run, value in zip(runs, found, strict=True)
            if any(same(value, one) for one in wanted)
        ]
    return list(runs)


def value_of(run: Run, key: str) -> Any:
    """A run's value of a column or of a key of its configuration."""
    column = NAMES.get(key, key)
    if column in SHOWN:
        return getattr(run, column)
    node: Any = run.config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return ABSENT
        node = node[part]
    return node


def same(value: Any, text: str) -> bool:
    """Whether ``text`` is how ``value`` is typed: null, true, numbers in any form."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return text == words[value]
    if isinstance(value, (int, float)):
        try:
            return float(text) == value
        except ValueError:
            return False
    return str(value) == text


def named(runs: Sequence[Run], text: str) -> Run:
    """The run whose folder is called ``text``, or begins with it; a path to it works too.

    Raises:
        ValueError: none, or several.
    """
    path = Path(text)
    name = path.parent.name if path.name == "result.json" else path.name
    found = [run for run in runs if run.folder == name]
    found = found or [run for run in runs if run.folder.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"no run {text!r}; type 'ctta runs list' for their names")
    folders = ", ".join(run.folder for run in found[:5])
    raise ValueError(f"{text!r} is the beginning of {len(found)} runs ({folders}); type more of it")
