"""`ctta data`: data sets with their licences, their download, their checksums, their places."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ctta.commands.progress import watching
from ctta.data import catalogue
from ctta.data.download import download, gib
from ctta.data.shelf import Shelf
from ctta.data.stamp import verified
from ctta.data.verify import verify
from ctta.places import data_dir

STATES = {True: "verified", False: "changed or damaged: verify it", None: "not verified"}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 where what was asked about is missing or damaged.

    Raises:
        ValueError: an unknown data set, or a download that did not succeed.
    """
    chosen = parser().parse_args(arguments)
    root = data_dir(chosen.root).absolute()
    names = [chosen.name] if chosen.action == "path" else chosen.names
    entries = [catalogue.entry(name) for name in names]
    console = Console(soft_wrap=True)
    if chosen.action == "list":
        for entry in entries or catalogue.ENTRIES:
            console.print(described(entry, root), highlight=False, markup=False)
        return 0
    if chosen.action == "verify" and not entries:
        entries = [entry for entry in catalogue.ENTRIES if present(entry, root)]
        if not entries:
            raise ValueError(f"no data set is in {root}; type 'ctta data list', or give --root")
    if chosen.action == "path":
        folder = root / entries[0].folder
        console.print(str(folder), highlight=False, markup=False)
        return 0 if folder.is_dir() else 1
    with watching(Console(stderr=True, soft_wrap=True)) as watch:
        if chosen.action == "verify":
            findings = [finding for entry in entries for finding in verify(entry, root, watch)]
        else:
            for entry in entries:
                watch.say(f"{entry.title}: licence: {entry.licence}; {entry.terms}; {entry.page}")
                download(
                    entry,
                    root,
                    only=chosen.only,
                    no_network=chosen.offline,
                    keep=chosen.keep,
                    watch=watch,
                )
            return 0
    for finding in findings:
        line = f"{finding.file}: {finding.state}: {finding.text}"
        console.print(line, highlight=False, markup=False)
    return int(any(finding.state in ("absent", "damaged") for finding in findings))


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    whole = argparse.ArgumentParser(
        prog="ctta data", description="Data sets under CTTA_DATA (default: data/)."
    )
    actions = whole.add_subparsers(dest="action", required=True)
    for action, text in {
        "list": "what there is, with licence and terms",
        "download": "get, check and unpack what is missing",
        "verify": "compare what is there with the published checksums; all of it, without a name",
        "path": "where a data set lies, or would",
    }.items():
        own = actions.add_parser(action, help=text, description=text)
        if action == "path":
            own.add_argument("name", help="of a data set")
        else:
            own.add_argument("names", nargs="+" if action == "download" else "*", metavar="name")
        own.add_argument("--root", type=Path, help="folder of all data sets")
        if action == "download":
            own.add_argument("--only", nargs="+", default=[], metavar="file", help="not all files")
            own.add_argument("--offline", action="store_true", help="no network: CTTA_OFFLINE=1")
            own.add_argument("--keep", action="store_true", help="leave the archives there")
    return whole


def present(entry: catalogue.Entry, root: Path) -> list[catalogue.File]:
    """The files of an entry of which something is there."""
    shelf = Shelf(entry, root)
    return [f for f in entry.files if any(target.exists() for target in shelf.targets(f))]


def described(entry: catalogue.Entry, root: Path) -> str:
    """An entry in a few lines."""
    there = present(entry, root)
    here = f"{len(there)} of {len(entry.files)} files here, {STATES[verified(entry.name, root)]}"
    sizes = [file.size for file in entry.files]
    size = gib(sum(s for s in sizes if s)) + ("" if all(sizes) else " and what is not published")
    lines = {
        "layout": f"{entry.folder}/: {entry.layout}",
        "files": ", ".join(file.name for file in entry.files),
        "size": size if any(sizes) else "not published",
        "licence": entry.licence,
        "terms": entry.terms,
        "page": entry.page,
        "here": here if there else "no",
    }
    if entry.by_hand:
        lines["login"] = entry.by_hand.format(folder=root / entry.folder)
    return "\n".join([f"{entry.name}: {entry.title}", *(f"  {k}: {v}" for k, v in lines.items())])
