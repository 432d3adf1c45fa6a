"""The machine and the software that a run saw."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ctta
from ctta.plugins import ENTRY_POINT_GROUP

# Of the environment: with another one, equal runs may differ in their last bits.
DECIDES_BITS = ("torch", "numpy", "cuda", "device", "instruction_set", "machine", "threads")


def environment(device: torch.device, threads: int) -> dict[str, Any]:
    """What of the surroundings can move bits or times, as JSON-able values."""
    return {
        "ctta": ctta.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "system": platform.system(),
        "threads": threads,
        "plugins": plugin_versions(),
    }


def plugin_versions() -> dict[str, str]:
    """Installed plug-in -> version of the package that provides it."""
    points = entry_points(group=ENTRY_POINT_GROUP)
    return {p.name: p.dist.version for p in points if p.dist is not None}


def commit() -> str | None:
    """The checkout's commit, with ``+`` if it has changes; None outside a checkout."""
    root = Path(ctta.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
