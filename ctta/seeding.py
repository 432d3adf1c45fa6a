"""Seeds and threads, in one place."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch on ``count`` threads inside; one and two threads give different bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
