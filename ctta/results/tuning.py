"""How values were chosen: on which corruptions, with what budget, and how they ranked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ctta.places import saving, writable
from ctta.results.compare import flat
from ctta.results.result import Result, TuningRecord, write_text
from ctta.results.rows import Row, gather
from ctta.results.statistics import corruption_of
from ctta.results.table import keys


def chosen(rows: Sequence[Row]) -> dict[str, Any]:
    """The node ``tuning`` of the best of ``rows``, which are one method with unlike settings.

    A row that lacks an order of the stream, since a run failed, is not chosen.
    """
    n_streams = max(len(row.streams) for row in rows)
    whole = sorted(
        (row for row in rows if len(row.streams) == n_streams), key=lambda row: row.mean()
    )
    settings = [keys(row) for row in rows]
    best = keys(whole[0])
    differing = [k for k, v in best.items() if any(other.get(k) != v for other in settings)]
    return {
        "values": [as_typed(key, best[key]) for key in differing],
        **{key: whole[0].results[0].config["names"][key] for key in ("dataset", "model")},
        "budget": sum(len(row.results) for row in rows),
        "rank": 1,
        "points": len(rows),
        "domains": list(whole[0].results[0].error_by_domain),
    }


def keep_chosen(results: Sequence[Result], folder: Path) -> dict[str, Path]:
    """Write the best settings of each method as an experiment; method -> its file.

    Args:
        results: the runs of a grid.
        folder: experiments go to ``experiment/`` inside; for ``ctta run --config-dir``.

    Raises:
        ValueError: the folder cannot be written to.
    """
    groups: dict[str, list[Row]] = {}
    for row in gather(results):
        names = row.results[0].config["names"]
        groups.setdefault(f"{names['method']}_{names['dataset']}_{names['model']}", []).append(row)
    inside = writable(folder / "experiment", "CTTA_RUNS")
    written = {}
    for name, rows in groups.items():
        if len(rows) > 1:
            node = chosen(rows)
            values: dict[str, Any] = {"tuning": node}
            for text in node["values"]:
                key, _, value = text.partition("=")
                put(values, key, yaml.safe_load(value))
            written[name] = inside / f"{name}.yaml"
            with saving(inside, "CTTA_RUNS"):
                body = yaml.safe_dump(values, sort_keys=False)
                write_text(written[name], f"# @package _global_\n{body}")
    return written


def put(node: dict[str, Any], key: str, value: object) -> None:
    """Set a dotted key."""
    *parents, last = key.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value


def tuning_record(config: Mapping[str, Any], domains: Iterable[object]) -> TuningRecord | None:
    """What a result says of how its values were chosen; None where they are not the chosen ones.

    Args:
        config: with the node ``tuning``, see `chosen`.
        domains: of the run's stream.

    Raises:
        ValueError: a node with keys that are missing or unknown.
    """
    node = config.get("tuning")
    if node is None:
        return None
    names = config["names"]
    here = {corruption_of(str(domain)) for domain in domains}
    try:
        met = names["dataset"] == node["dataset"] and here & set(
            map(corruption_of, node["domains"])
        )
        record = TuningRecord(**node, on_its_own_stream=bool(met))
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"tuning: {' '.join(str(error).split())}; type tuning=null") from None
    used = {as_typed(key, value) for key, value in flat(config).items()}
    return record if used.issuperset(record.values) else None


def as_typed(key: str, value: object) -> str:
    """A setting as it is typed."""
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"
