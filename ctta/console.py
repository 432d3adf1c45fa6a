"""What a command says while it works, on standard error."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.logging import RichHandler

log = logging.getLogger("ctta")


def say_on_standard_error() -> None:
    """Show what is logged, unless that is done already."""
    if not log.handlers:
        handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
        handler.setLevel(logging.INFO)  # a run's log.txt takes more
        log.handlers = [handler]
        log.setLevel(logging.INFO)


def one_line(error: BaseException) -> str:
    """The error's text without line breaks; its type where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__
