"""Which sections and lines a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

from ctta.leaderboard.board import Line, Section
from ctta.leaderboard.plots.style import MOST
from ctta.leaderboard.shelf import Shelf
from ctta.online.trace import Trace
from ctta.results.rows import HEADLINE

USUAL = "continual"
READABLE = 8  # methods, where nobody has chosen


def chosen_sections(
    sections: Sequence[Section], settings: Sequence[str], *, all_of_them: bool = False
) -> list[Section]:
    """Of each named setting the section that most orders went into.

    Args:
        sections: of one benchmark, the fullest of a setting first.
        settings: names; none: `USUAL`, or the first where nobody has added to that.
        all_of_them: none: all settings.

    Raises:
        ValueError: a setting that is not there.
    """
    fullest: dict[str, Section] = {}
    for section in sections:
        fullest.setdefault(section.setting, section)
    for setting in settings:
        if setting not in fullest:
            known = ", ".join(fullest) or "none"
            raise ValueError(f"--setting: expected one of {known}, got {setting!r}")
    if settings or all_of_them:
        return [fullest[setting] for setting in settings or fullest]
    return [fullest.get(USUAL) or next(iter(fullest.values()))]


def chosen_lines(section: Section, methods: Sequence[str], most: int = READABLE) -> list[Line]:
    """The named methods in that order; else the controls and the best others, best first.

    Raises:
        ValueError: a method that is not there, or more than a picture can tell apart.
    """
    lines = sorted(section.lines, key=lambda line: line.row.mean(HEADLINE))
    if len(methods) > MOST:
        raise ValueError(f"--method: expected at most {MOST} methods, got {len(methods)}")
    if methods:
        by_name = {line.name: line for line in lines}
        unknown = [name for name in methods if name not in by_name]
        if unknown:
            raise ValueError(
                f"--method: expected some of {', '.join(by_name)}, got {', '.join(unknown)}"
            )
        return [by_name[name] for name in methods]
    controls = [line for line in lines if line.control]
    best = [line for line in lines if not line.control][: max(most - len(controls), 1)]
    return [line for line in lines if line in controls or line in best]


def of_all(section: Section, lines: Sequence[Line]) -> str:
    """How many of the section's lines are shown, where some are not."""
    n = len(section.lines)
    return f"{len(lines)} of {n} methods" if len(lines) < n else ""


def traces(shelf: Shelf, lines: Sequence[Line]) -> dict[str, list[Trace]]:
    """Line's name -> the traces of its runs.

    Raises:
        ValueError: one of them is not here.
    """
    found: dict[str, list[Trace]] = {}
    for line in lines:
        if line.unverified:
            raise ValueError(
                f"{line.name} is {line.unverified}: a picture of the stream needs its traces; "
                "choose others with --method"
            )
        found[line.name] = [shelf.trace(filed) for filed in line.entries]
    return found
