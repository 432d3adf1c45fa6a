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
    files: dict[str, dict[str, Path]] = {}
    for folder in folders.values():
        for group, names in plugins.choices(folder).items():
            files.setdefault(group, {}).update({n: folder / group / f"{n}.yaml" for n in names})
    inside: dict[str, set[str]] = {}  # the names in a group; those of groups end with a slash
    for group, choices in files.items():
        inside.setdefault(group, set()).update(choices)
        while "/" in group:
            group, _, name = group.rpartition("/")
            inside.setdefault(group, set()).add(f"{name}/")
    console = Console(soft_wrap=True)
    if chosen.group is None:
        for group in sorted(g for g in inside if "/" not in g and g != "hydra"):
            console.print(f"[bold]{group}[/]  {', '.join(sorted(inside[group]))}", highlight=False)
        return 0
    group = chosen.group.rstrip("/")
    if group not in inside:
        known = ", ".join(sorted(g for g in inside if "/" not in g and g != "hydra"))
        raise ValueError(f"expected a group ({known}), got {chosen.group!r}")
    about = folders["ctta"] / group / "README.md"
    if about.is_file():
        console.print(about.read_text(encoding="utf-8").rstrip(), highlight=False, markup=False)
    width = max(map(len, inside[group]))
    for name in sorted(inside[group]):
        if name.endswith("/"):
            text = ", ".join(sorted(inside[f"{group}/{name[:-1]}"]))
        else:
            text = first_comment(files[group][name])
        console.print(f"[bold]{name:<{width}}[/] {text}", highlight=False)
    return 0


def first_comment(path: Path) -> str:
    """What the first line of a file says that is for readers."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""
