"""What a step costs in time and memory."""

from __future__ import annotations

import resource
import sys
import time

import torch


def now(device: torch.device) -> float:
    """Seconds, after what was sent to ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_mib(device: torch.device) -> float:
    """Peak memory in MiB: allocated on a CUDA device, else resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
