"""`ctta cite`: BibTeX for the methods, data sets and models of some results."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

SOFTWARE = "software/ctta"  # belongs to every result


def main(arguments: Sequence[str]) -> int:
    """Exit status 0.

    Raises:
        ValueError: a file that is no result.
    """
    parser = argparse.ArgumentParser(
        prog="ctta cite", description="BibTeX for the methods, data sets and models of results."
    )
    parser.add_argument("results", type=Path, nargs="+", help="result.json, or a run's folder")
    chosen = parser.parse_args(arguments)
    from ctta import plugins
    from ctta.results.result import Result

    folders = list(plugins.all_folders().values())
    used = {SOFTWARE: None}  # in the order in which they come
    for path in chosen.results:
        result = Result.load(path / "result.json" if path.is_dir() else path)
        used |= dict.fromkeys(used_by(result.config, folders))
    entries = [entry for folder in folders for entry in entries_of(folder / "citations.bib")]
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for text, choices in entries:
        if choices & used.keys():
            console.print(f"{text}\n")
    for choice in used:
        if not any(choice in choices for _, choices in entries):
            console.print(f"% {choice}: no entry; ask its authors what to cite")
    return 0


def used_by(config: Mapping[str, Any], folders: Sequence[Path]) -> Iterator[str]:
    """The choices of a record as ``group/name``, with methods inside of methods and base sets."""
    for group in ("method", "dataset", "model"):
        yield f"{group}/{config['names'][group]}"
    targets = {
        yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_"): path.stem
        for folder in folders
        for path in sorted(folder.glob("method/*.yaml"), reverse=True)
    }
    for value in config["method"].values():
        if isinstance(value, Mapping) and value.get("_target_") in targets:
            yield f"method/{targets[value['_target_']]}"
    base = config["dataset"].get("base")
    if base is not None:
        yield f"dataset/{base}"


def entries_of(path: Path) -> list[tuple[str, set[str]]]:
    """The entries of a BibTeX file: text without keywords, and the keywords."""
    if not path.is_file():
        return []
    found: list[tuple[str, set[str]]] = []
    for text in re.findall(r"^@.*?^\}", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        keywords = re.search(r"^ *keywords *= *\{([^}]*)\},?\n", text, re.MULTILINE)
        if keywords is None:
            found.append((text, set()))
        else:
            shown = text.replace(keywords[0], "")
            found.append((shown, {word.strip() for word in keywords[1].split(",")}))
    return found
