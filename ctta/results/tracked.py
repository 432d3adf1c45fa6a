"""A run told to wandb, where that is configured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctta.build import Config
from ctta.online.tracking import WandbTracking
from ctta.results.result import Result


def tracked(config: Config, folder: Path, record: Mapping[str, Any]) -> WandbTracking | None:
    """The wandb run of a run's folder; ``record``: what is known before the run."""
    chosen, names = config["tracking"], config["names"]
    if chosen["name"] != "wandb":
        return None
    kinds = [names[group] for group in ("method", "dataset", "stream", "model")]
    known_by = {
        "identity": record["identity"],
        "method_version": record["method"].version,
        "protocol_sha256": record["stream"].protocol_sha256,
        "stream_sha256": record["stream"].stream_sha256,
        "weights_sha256": record["model"]["weights_sha256"],
        "environment": record["environment"],
    }
    return WandbTracking(
        folder.name,
        {**config, "record": known_by},
        folder=folder.parent,
        project=chosen["project"],
        entity=chosen.get("entity"),
        group=chosen.get("group") or "-".join(kinds),
        tags=list(dict.fromkeys([*kinds, *chosen.get("tags", [])])),
        mode=chosen["mode"],
    )


def keep_tracked(tracking: WandbTracking, result: Result, folder: Path) -> None:
    """The result as the wandb run's summary, the chosen files of the folder as its artifact."""
    summary = {
        **result.metrics,
        "error_by_domain": result.error_by_domain,
        "costs": result.costs and result.costs.model_dump(),
    }
    tracking.keep(
        summary, [folder / name for name in result.config["tracking"].get("artifact", [])]
    )
