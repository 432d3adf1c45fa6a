"""Checks of constructor arguments; every refusal says what was expected and what came."""

from __future__ import annotations

import math
from typing import Any


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """``value`` if it is a finite number in [low, high]."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        bounds = "" if low == -math.inf and high == math.inf else f" in [{low:g}, {high:g}]"
        raise ValueError(f"{name}: expected a number{bounds}, got {value!r}")
    return float(value)


def fraction(name: str, value: Any) -> float:
    """``value`` if it lies in [0, 1]."""
    return number(name, value, 0, 1)


def count(name: str, value: Any, low: int = 1) -> int:
    """``value`` if it is an integer of at least ``low``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected an integer of at least {low}, got {value!r}")
    return value


def count_or_none(name: str, value: Any) -> int | None:
    """``value`` if it is None or an integer of at least 1."""
    return None if value is None else count(name, value)


def flag(name: str, value: Any) -> bool:
    """``value`` if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false, got {value!r}")
    return value


def one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    """``value`` if it is among ``known``."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    return str(value)
