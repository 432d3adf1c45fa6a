"""What makes two runs the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# These keys decide numbers; paths, tracking, progress and the like do not.
DECIDING = ("seed", "dataset", "stream", "model", "method", "online", "compute")
# Of the data set: where files lie (their content is in the stream's hash), and how they are read.
NOT_DECIDING = ("root", "list_file", "frost_textures", "shards", "calibration", "workers")


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration decides the numbers of a run."""
    values = {key: config[key] for key in DECIDING}
    values["compute"] = {k: v for k, v in config["compute"].items() if k != "prefetch"}
    if not values["compute"].get("cuda_graph"):  # as before there was this key
        values["compute"].pop("cuda_graph", None)
    # A run that goes on from a checkpoint has the bits of one that was not disturbed.
    values["online"] = {k: v for k, v in config["online"].items() if k != "checkpoint_every"}
    # Where the model's file lies: its content is among the versions.
    values["model"] = {k: v for k, v in config["model"].items() if k != "weights"}
    values["dataset"] = {k: v for k, v in config["dataset"].items() if k not in NOT_DECIDING}
    if values["dataset"].get("corrupt_on") == "cpu":  # as before there was this key
        del values["dataset"]["corrupt_on"]
    return values


def run_identity(config: Mapping[str, Any], **versions: Any) -> str:
    """SHA-256 of the deciding keys and of ``versions`` (hashes of weights, versions of parts)."""
    values = deciding(config) | {"versions": versions}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
