"""What a step costs in time and memory."""

from __future__ import annotations

import resource
import sys
import time

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ctta.methods.base import Method
from ctta.online.window import Window
from ctta.seeding import derive, global_generators


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


def flops_per_sample(adapt: Method | Window, x: Tensor) -> float:
    """FLOPs of a step on ``x`` [B,C,H,W] over B: matrix products and convolutions.

    Forwards and backwards both, two for a multiplication and an addition. The step is taken: use
    it on what is not needed any more.
    """
    counted = FlopCounterMode(display=False)
    # Attention as its products: the fused forms are not counted alike on every device.
    with global_generators(derive(0, "dropout")), sdpa_kernel(SDPBackend.MATH), counted:
        adapt(x)
    return counted.get_total_flops() / len(x)
