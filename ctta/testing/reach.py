"""Lines of the contract about what a method may not reach: the stream, files, other generators."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ctta.models.source import SourceModel
from ctta.online.loop import NonFiniteOutputError, run_online
from ctta.streams.stream import Batch, Domain
from ctta.testing.material import BATCH, N_BATCHES, BrokenLineError, Prepared, answers, batches


def global_states() -> tuple[object, object, object]:
    """Where torch's, Python's and NumPy's global generators stand."""
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    position = numpy_state["key"].tobytes(), numpy_state["pos"]
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), position


def no_global_draws(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    before = global_states()
    answers(method, batches())
    after = global_states()
    for name, a, b in zip(("torch", "Python", "NumPy"), before, after, strict=True):
        if a != b:
            raise BrokenLineError(f"{name}'s global generator was drawn from: use self.generator")


class TwoFutures:
    """The fixed batches as a stream whose labels, ids, domains and last images depend on ``kind``.

    Args:
        kind: 0 or 1.
    """

    name, version, resets = "two futures", 1, False
    protocol_sha256 = stream_sha256 = "none"

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.domains: Sequence[Domain] = [
            Domain("gaussian_noise", 1 + kind),
            Domain("fog", 5 - kind),
        ]

    def __len__(self) -> int:
        return N_BATCHES + 1

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """All batches, from number ``start`` on."""
        for number, x in enumerate([*batches(), *batches(1, seed=1 + self.kind)][start:], start):
            same = torch.full((BATCH,), self.kind)
            yield Batch(x, same, same, same + BATCH * number, self.kind, number == 0)


def no_reach(make: Prepared, model: SourceModel) -> None:
    def entropies(kind: int) -> NDArray[Any]:
        trace = run_online(make(model), TwoFutures(kind))
        return trace.samples["entropy"][: N_BATCHES * BATCH]

    try:
        first, other = entropies(0), entropies(1)
        if np.array_equal(first, other):
            return
        again = entropies(0)
    except NonFiniteOutputError:
        return  # another line's matter, as is a method that differs from itself
    if np.array_equal(first, again):
        raise BrokenLineError("the answers depend on labels, ids, domains or images yet to come")


def no_files(make: Prepared, model: SourceModel) -> None:
    answers(make(model), batches())  # modules and compiled code are loaded at a first use
    method = make(model)
    with listening() as opened:
        answers(method, batches())
    if opened:
        raise BrokenLineError(f"a batch made the method open {opened[0]}")


class Ear:
    """Writes down what the thread that set it opens; Python keeps an audit hook for good."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.opened: list[str] = []
        self.hung_up = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.thread != threading.get_ident():
            return
        if event == "open":
            if PurePath(str(arguments[0])).suffix not in (".py", ".pyc", ".so"):
                self.opened.append(f"the file {arguments[0]}")
        elif event in ("socket.connect", "subprocess.Popen"):
            self.opened.append("a connection" if event == "socket.connect" else "a process")


EAR = Ear()


@contextmanager
def listening() -> Iterator[list[str]]:
    """What this thread opens inside: files other than code, connections, processes."""
    if EAR.hung_up:
        sys.addaudithook(EAR)
        EAR.hung_up = False
    EAR.thread, EAR.opened = threading.get_ident(), []
    try:
        yield EAR.opened
    finally:
        EAR.thread = None
