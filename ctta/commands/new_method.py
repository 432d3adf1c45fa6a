"""`ctta new-method`: a package with a method, its YAML and its tests, to start from."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

TEMPLATE = Path(__file__).parent / "template"  # itself a working package, of this method:
NAME, CLASS, DISTRIBUTION = "my_method", "MyMethod", "my-method"


def main(arguments: Sequence[str]) -> int:
    """Exit status 0.

    Raises:
        ValueError: a name that does not do or is taken, or a folder that exists.
    """
    parser = argparse.ArgumentParser(
        prog="ctta new-method", description="Write a package with a method that works, to change."
    )
    parser.add_argument("name", help="as in method=NAME: small letters, digits, underscores")
    parser.add_argument("--folder", type=Path, help="to write it to; default: ctta-NAME")
    chosen = parser.parse_args(arguments)
    name = free_name(chosen.name)
    folder = chosen.folder or Path(f"ctta-{name.replace('_', '-')}")
    write_package(name, folder)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{folder} has the package ctta_{name}. Next:")
    for line in (
        f"cd {folder}",
        "pip install --no-build-isolation --no-deps -e .",
        "python -m pytest",
        f"ctta check {name}",
        f"ctta run method={name}",
    ):
        console.print(f"  {line}")
    return 0


def free_name(name: str) -> str:
    """``name`` if a method can be called so.

    Raises:
        ValueError: it is no such name, or taken.
    """
    from ctta import plugins

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise ValueError(
            f"name: expected small letters, digits and single underscores, as in prior_shift, "
            f"got {name!r}"
        )
    for provider, folder in plugins.all_folders().items():
        if name in plugins.choices(folder).get("method", []):
            raise ValueError(
                f"name: method={name} is there already, from '{provider}'; take another"
            )
    if find_spec(f"ctta_{name}") is not None:
        raise ValueError(f"name: the package ctta_{name} is installed already; take another")
    return name


def write_package(name: str, folder: Path) -> None:
    """Write the template under another name.

    Args:
        name: of the method, in snake case.
        folder: must not exist; its parent must.

    Raises:
        ValueError: it exists, or its parent does not.
    """
    if folder.exists():
        raise ValueError(f"{folder}: exists already; choose another with --folder")
    if not folder.resolve().parent.is_dir():
        raise ValueError(f"{folder}: expected its parent folder to exist")
    names = {
        NAME: name,
        CLASS: "".join(part.capitalize() for part in name.split("_")),
        DISTRIBUTION: name.replace("_", "-"),
    }
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            path = folder / renamed(source.relative_to(TEMPLATE).as_posix(), names)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(renamed(source.read_text(encoding="utf-8"), names), encoding="utf-8")


def renamed(text: str, names: dict[str, str]) -> str:
    """``text`` with every old name replaced by its new one, in one pass."""
    return re.sub("|".join(names), lambda match: names[match[0]], text)
