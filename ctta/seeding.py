"""Seeds, threads and determinism flags, in one place."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derive(seed: int, *names: str) -> int:
    """A seed of 63 bits for the purpose that ``names`` say; different names, unrelated seeds."""
    text = "/".join([str(seed), *names]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators inside, and give the caller's back afterwards.

    Train-mode dropout draws from them; nothing of ours does.
    """
    ours = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    with torch.random.fork_rng():
        torch.random.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(ours[0])
            np.random.set_state(ours[1])  # noqa: NPY002


def generator_states(device: torch.device) -> dict[str, Any]:
    """Where the global generators stand: Python's, NumPy's, torch's and the device's."""
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    key = numpy_state["state"]["key"].astype(np.int64)
    states = {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": torch.from_numpy(key)}},
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generators(states: Mapping[str, Any], device: torch.device) -> None:
    """Put the global generators where `generator_states` found them; lists may stand for tuples."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    saved = states["numpy"]
    key = saved["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**saved, "state": {**saved["state"], "key": key}})  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def same_bits() -> Iterator[None]:
    """Inside, torch's operators add up in a fixed order, so that a run repeats on its device.

    An operator that has no such form still runs, and torch warns of it. cuBLAS reads its setting
    when it is first used: enter before.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    mode, filled = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # nobody reads it, and filling costs
    torch.backends.cudnn.benchmark = False  # it takes what is fastest at the moment
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch on ``count`` threads inside; one and two threads give different bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
