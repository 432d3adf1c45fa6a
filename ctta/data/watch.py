"""What a long task tells whoever watches it."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Someone who is told how far a task is."""

    def begin(self, what: str, done: int, total: int | None) -> None:
        """A step starts, ``done`` of ``total`` bytes behind it; None: the total is not known."""

    def advance(self, n_bytes: int) -> None:
        """So many bytes more."""

    def say(self, text: str) -> None:
        """One line."""


class Nobody:
    """Nobody watches."""

    def begin(self, what: str, done: int, total: int | None) -> None:
        """Nothing."""

    def advance(self, n_bytes: int) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""
