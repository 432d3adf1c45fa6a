"""Ctrl-C beside a compiler."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any


def without_interruption(work: Callable[..., Any]) -> Callable[..., Any]:
    """``work``, at the end of which a Ctrl-C that came meanwhile takes effect.

    Inside of a callback from foreign code, as a compiler makes them, Python prints a
    `KeyboardInterrupt` and drops it: the program would go on, with a library half compiled.
    """

    def whole(*args: Any) -> Any:
        handler = signal.getsignal(signal.SIGINT)
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or not callable(handler):  # nothing is raised here
            return work(*args)
        pressed: list[tuple[Any, ...]] = []
        signal.signal(signal.SIGINT, lambda *event: pressed.append(event))
        try:
            return work(*args)
        finally:
            signal.signal(signal.SIGINT, handler)
            for event in pressed[:1]:
                handler(*event)

    return whole
