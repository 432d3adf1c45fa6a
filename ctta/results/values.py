"""Values of a configuration, checked; an error names the key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import torch

from ctta.build import Config
from ctta.online.resume import interval
from ctta.online.speed import StepCost
from ctta.online.tracking import Mode

TRACKED_FILES = ("result.json", "config.yaml", "trace.npz", "log.txt")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def whole_number(value: object, key: str, *, at_least: int) -> int:
    """``value`` as a whole number of at least ``at_least``.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{key}: expected a whole number of at least {at_least}, got {value!r}")
    return value


def known(value: object, key: str, choices: Iterable[str]) -> str:
    """``value`` if it is among ``choices``.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = choices
        raise ValueError(f"{key}: expected {', '.join(others)} or {last}, got {value!r}")
    return value


def speed(online: Config) -> dict[str, Any]:
    """The arguments of `run_online` for a stream that does not wait; none for one that does.

    Raises:
        ValueError: a value out of range, or a window beside it.
    """
    eta = online.get("eta")  # older records do not have it
    if eta is None:
        return {}
    if online["window"] > 1:
        raise ValueError(
            f"online.eta: expected null with online.window={online['window']}, got {eta!r}"
        )
    for key in ("eta", "backward_cost"):
        value = online[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise ValueError(f"online.{key}: expected a number of at least 0, got {value!r}")
    if not 0 < eta <= 1:
        raise ValueError(f"online.eta: expected above 0 up to 1, got {eta!r}")
    known(online["step_cost"], "online.step_cost", get_args(StepCost))
    return {key: online[key] for key in ("eta", "step_cost", "backward_cost")}


def checkpoint_interval(online: Config) -> int | str | None:
    """``online.checkpoint_every``, which older records do not have.

    Raises:
        ValueError: not as `interval` takes it.
    """
    value: int | str | None = online.get("checkpoint_every")
    try:
        interval(value)
    except ValueError as error:
        raise ValueError(f"online.{error}") from None
    return value


def true_or_false(value: object, key: str) -> bool:
    """``value`` as true or false.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{key}: expected true or false, got {value!r}")
    return value


def chosen_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises:
        ValueError: another name, or no such device here.
    """
    known(name, "compute.device", ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("compute.device: no CUDA device here; type compute.device=cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def cuda_graph(compute: Config, device: torch.device) -> bool:
    """Whether forwards are replayed as CUDA graphs; older records do not say.

    Raises:
        ValueError: the device has no graphs, or another key changes how forwards run as well.
    """
    wanted = true_or_false(compute.get("cuda_graph", False), "compute.cuda_graph")
    if not wanted:
        return False
    if device.type != "cuda":
        raise ValueError(
            f"compute.cuda_graph: expected a CUDA device, got {device.type}; "
            "type compute.cuda_graph=false"
        )
    for key, off in (("compile", False), ("memory_mib", None)):
        if compute[key] != off:
            raise ValueError(
                f"compute.cuda_graph: cannot be joined with compute.{key}; type "
                f"compute.{key}={'false' if off is False else 'null'} or compute.cuda_graph=false"
            )
    return True


def check_tracking(tracking: Config) -> None:
    """Refuse another tracker than wandb, and values that it would not take.

    Raises:
        ValueError: a value that does not fit.
    """
    name, modes = tracking["name"], get_args(Mode)
    if name not in ("none", "wandb") or (name == "wandb" and "mode" not in tracking):
        raise ValueError(f"tracking.name: got {name!r}; type tracking=none or tracking=wandb")
    if tracking.get("mode", modes[0]) not in modes:
        expected = " or ".join(modes)
        raise ValueError(f"tracking.mode: expected {expected}, got {tracking['mode']!r}")
    for key in ("project", "entity", "group"):
        value = tracking.get(key)
        if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 128):
            raise ValueError(
                f"tracking.{key}: expected a name of at most 128 letters, got {value!r}"
            )
    tags = tracking.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(t, str) and 0 < len(t) <= 64 for t in tags):
        raise ValueError(
            f"tracking.tags: expected names of at most 64 letters, got {tags!r}; type "
            "tracking.tags=[first,second]"
        )
    files = tracking.get("artifact", [])
    if not isinstance(files, list) or not set(files) <= set(TRACKED_FILES):
        raise ValueError(
            f"tracking.artifact: expected some of {', '.join(TRACKED_FILES)}, got {files!r}; type "
            "tracking.artifact=[result.json]"
        )
