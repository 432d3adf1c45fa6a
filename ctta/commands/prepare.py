"""`ctta prepare`: each method's artefact, ahead of its runs."""

from __future__ import annotations

from collections.abc import Sequence

from ctta.composition import experiment, for_each


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 where every artefact is there."""
    header = "ctta prepare: build what a method needs of the source data, ahead of its runs."
    arguments = [f"hydra.help.header='{header}'", *arguments]
    well, _ = for_each("ctta prepare", arguments, lambda found: experiment(found).prepare())
    return 0 if well else 1
