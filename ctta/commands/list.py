"""`ctta list`: the groups, or the choices of one group with the first line of each file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console


def main(arguments: Sequence[str]) -> int:
    """Exit status 0.

    Raises:
        ValueError: no such group.
    """
    parser = argparse.ArgumentParser(prog="ctta list", description="What can be chosen.")
    parser.add_argument("group", nargs="?", help="dataset, stream, model, method, ...")
    chosen = parser.parse_args(arguments)
    from ctta import plugins
    from ctta.assets import asset_dir

    plugins.warn_of_left_out()
    console = Console(soft_wrap=True)
    overview = plugins.overview()
    if chosen.group is None:
        for group, names in overview.items():
            console.print(f"[bold]{group}[/]  {names}", highlight=False)
        return 0
    groups, group = plugins.groups(), chosen.group.rstrip("/")
    if group not in groups:
        raise ValueError(f"expected a group ({', '.join(overview)}), got {chosen.group!r}")
    about = asset_dir("configs") / group / "README.md"
    if about.is_file():
        console.print(about.read_text(encoding="utf-8").rstrip(), highlight=False, markup=False)
    width = max(map(len, groups[group]))
    for name, path in sorted(groups[group].items()):
        text = first_comment(path) if path else ", ".join(sorted(groups[f"{group}/{name[:-1]}"]))
        console.print(f"[bold]{name:<{width}}[/] {text}", highlight=False)
    return 0


def first_comment(path: Path) -> str:
    """What the first line of a file says that is for readers."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""
