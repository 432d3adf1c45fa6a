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

    plugins.warn_of_left_out()
    folders = plugins.all_folders()
    groups: dict[str, dict[str, Path]] = {}
    for folder in folders.values():
        for group, names in plugins.choices(folder).items():
            groups.setdefault(group, {}).update({n: folder / group / f"{n}.yaml" for n in names})
    for readme in folders["ctta"].rglob("README.md"):  # a group without choices
        groups.setdefault(readme.parent.relative_to(folders["ctta"]).as_posix(), {})
    console = Console(soft_wrap=True)
    if chosen.group is None:
        for group in sorted(g for g in groups if not g.startswith("hydra")):
            console.print(f"[bold]{group}[/]  {', '.join(sorted(groups[group]))}", highlight=False)
        return 0
    if chosen.group not in groups:
        known = ", ".join(sorted(g for g in groups if not g.startswith("hydra")))
        raise ValueError(f"expected a group ({known}), got {chosen.group!r}")
    if not groups[chosen.group]:
        text = (folders["ctta"] / chosen.group / "README.md").read_text(encoding="utf-8")
        console.print(text.rstrip(), highlight=False, markup=False)
    width = max(map(len, groups[chosen.group]), default=0)
    for name, path in sorted(groups[chosen.group].items()):
        comments = [
            line.lstrip("# ").rstrip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#") and "@package" not in line
        ]
        console.print(
            f"[bold]{name:<{width}}[/] {comments[0] if comments else ''}", highlight=False
        )
    return 0
