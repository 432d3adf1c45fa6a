"""A deliberately wrong method, and the ways to go wrong that methods have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from ctta.methods.base import Method

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Mutant:
    """One fault of one method.

    Attributes:
        method: folder of golden files that must catch it.
        fault: in words.
        cls: the wrong class, or the right one where ``patches`` does the wrong.
        patches: a context in which the files are replayed.
        survives: why the public files cannot tell it from the method; None: they must.
    """

    method: str
    fault: str
    cls: type[Method]
    patches: Patch = nullcontext
    survives: str | None = None


def keeping(base: type[Method], name: str) -> type[Method]:
    """``base`` whose reset leaves one attribute as it is."""

    class Keeps(base):
        def reset(self):
            kept = copy.deepcopy(getattr(self, name).state_dict())
            super().reset()
            getattr(self, name).load_state_dict(kept)

    return Keeps


def full_reset(self: Method) -> None:
    """`Method.reset` that spares nothing."""
    self.reset_kind = "full"
    Method.reset(self)


def first_step_returned(base: type[Method]) -> type[Method]:
    class FirstStep(base):
        def __call__(self, x):
            if self.episodic:
                self.reset()
            first, *_ = [self.adapt(x).detach() for _ in range(self.steps)]
            return first

    return FirstStep


def never_episodic(base: type[Method]) -> type[Method]:
    class NeverEpisodic(base):
        def __call__(self, x):
            return [self.adapt(x).detach() for _ in range(self.steps)][-1]

    return NeverEpisodic
