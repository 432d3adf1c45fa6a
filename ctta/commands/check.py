"""`ctta check`: the contract of a configured method, line by line, and what each line is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from rich.console import Console
from rich.text import Text

from ctta.build import Config, build
from ctta.composition import for_each, resolved
from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.testing import Reading, readings, tiny_cnn


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 where every line holds.

    Raises:
        ValueError: no method is named.
    """
    if not arguments or arguments[0].startswith("--config"):
        raise ValueError("expected a method first, as in: ctta check tent; `ctta list method`")
    if arguments[0].isidentifier():
        arguments = [f"method={arguments[0]}", *arguments[1:]]
    header = "ctta check: does a method keep the contract, line by line."
    arguments = [f"hydra.help.header='{header}'", *arguments]
    well, _ = for_each("ctta check", arguments, lambda found: read_out(resolved(found)))
    return 0 if well else 1


def read_out(config: Config) -> None:
    """Print what came of every line.

    Args:
        config: resolved, as a run takes it; ``method``, ``seed`` and ``names`` are used.

    Raises:
        ValueError: the method cannot be built, or a line does not hold.
    """
    console = Console(soft_wrap=True)

    def make(model: SourceModel) -> Method:
        return cast(Method, build(config["method"], "method", model=model, seed=config["seed"]))

    method = make(tiny_cnn())
    name = config["names"]["method"]
    console.print(
        f"{name}: {type(method).__module__}.{type(method).__qualname__}, version "
        f"{getattr(method, 'version', None)}, over a small CNN and a small transformer",
        highlight=False,
    )
    n_lines, broken = 0, []
    for reading in readings(make, long=True):
        n_lines += 1
        if reading.found is not None:
            broken.append(reading.name)
        console.print(in_words(reading))
    if broken:
        listed = ", ".join(broken)
        raise ValueError(f"{name}: {len(broken)} of {n_lines} lines do not hold: {listed}")
    console.print(f"{name}: all {n_lines} lines hold", highlight=False)


def in_words(reading: Reading) -> Text:
    """Verdict, name and meaning of one line; what was found; what the leaderboard needs it for."""
    good = reading.found is None
    verdict = ("ok    ", "green") if good else ("FAILED", "bold red")
    text = Text.assemble(verdict, " ", (reading.name, "bold"), f": {reading.line.meaning}")
    if not good:
        text.append(f"\n       found: {reading.found}")
    return text.append(f"\n       without it: {reading.line.at_stake}", "dim")
