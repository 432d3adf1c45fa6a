"""Which GPU a process of a sweep uses, where several runs share one.

The command line loads this for every word that it completes: torch is loaded where it is needed.
"""

from __future__ import annotations

import fcntl
import os
from functools import cache
from itertools import count
from pathlib import Path


@cache
def visible_gpus() -> tuple[str, ...]:
    """The GPUs of this process by CUDA's names for them; nothing is started on them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        import torch

        return tuple(str(number) for number in range(torch.cuda.device_count()))
    return tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))


def checked(runs_per_gpu: object) -> int:
    """``launcher.runs_per_gpu`` where it is not null.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    from ctta.results.values import whole_number

    return whole_number(runs_per_gpu, "launcher.runs_per_gpu", at_least=1)


def at_once(runs_per_gpu: object, without: int) -> int:
    """How many runs there are at once, on all GPUs together; ``without`` where it is null.

    Raises:
        ValueError: see `checked`, or there is no GPU.
    """
    if runs_per_gpu is None:
        return without
    n_runs = checked(runs_per_gpu) * len(visible_gpus())
    if not n_runs:
        raise ValueError(
            "launcher.runs_per_gpu: expected null, as no GPU is visible here; "
            f"hydra.launcher.n_jobs={without} runs {without} at once"
        )
    return n_runs


def gpu_share(runs_per_gpu: object) -> float:
    """What part of a GPU is one run's; none where it is null.

    Raises:
        ValueError: see `checked`.
    """
    return 0.0 if runs_per_gpu is None else 1.0 / checked(runs_per_gpu)


@cache
def take_gpu(folder: Path) -> str:
    """Choose this process's GPU: the processes with the same ``folder`` are dealt to them in turn.

    To be called before CUDA starts. A process keeps its place until it ends, however it ends; then
    another one may take it.

    Returns:
        CUDA's name of the GPU, which is the only visible one now.
    """
    gpus = visible_gpus()
    folder.mkdir(parents=True, exist_ok=True)
    for place in count():
        lock = os.open(folder / str(place), os.O_RDWR | os.O_CREAT, 0o666)  # open until the end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            break
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    return os.environ["CUDA_VISIBLE_DEVICES"]
