"""The files of a data set against what is published of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctta.data import stamp
from ctta.data.archives import is_archive
from ctta.data.catalogue import Entry, File
from ctta.data.shelf import Shelf
from ctta.data.suffixes import is_data
from ctta.data.transfer import DamagedError, checked
from ctta.data.unpacking import listed
from ctta.data.watch import Watch

MOST_PROBLEMS = 5
CHUNK = 1 << 20
State = Literal["verified", "complete", "absent", "damaged"]


@dataclass(frozen=True)
class Finding:
    """What was found of one file of the catalogue.

    Attributes:
        file: its name.
        state: ``verified``: as published. ``complete``: all there, but nothing is published to
            compare with, or only of an archive that is not there any more. ``absent``: nothing is
            there. ``damaged``: something differs, or a part is missing.
        text: what was compared, or the first problems.
    """

    file: str
    state: State
    text: str


def verify(entry: Entry, root: Path, watch: Watch) -> list[Finding]:
    """Compare names, sizes, checksums and numbers, and leave a mark for later runs.

    Args:
        entry: of the catalogue.
        root: folder of all data sets.
        watch: is told how far it is.

    Returns:
        One finding for each file of the catalogue.
    """
    shelf = Shelf(entry, root)
    return [verify_file(shelf, file, watch) for file in entry.files]


def verify_file(shelf: Shelf, file: File, watch: Watch) -> Finding:
    """See `verify`."""
    if not any(target.exists() for target in shelf.targets(file)):
        return Finding(file.name, "absent", f"no {' or '.join(file.unpacks_to[:3])}")
    listed_of = shelf.contents(file).origin()
    archive = shelf.archive(file)
    if listed_of is None and provable(shelf, file) and archive.is_file():  # unpacked by hand
        try:
            checked(file, archive, watch)
        except DamagedError as error:
            return Finding(file.name, "damaged", f"{archive}: {error}; delete it")
        listed(shelf, file, watch, into=None)
        listed_of = shelf.contents(file).origin()
    if listed_of is not None:
        paths, problems = against_list(shelf, file, watch)
        proven = bool(file.checksums) and listed_of.checksums == file.checksums
    elif not is_archive(file.name):
        paths, problems = [file.unpacks_to[0]], list(against_file(shelf, file, watch))
        proven = bool(file.checksums)
    else:
        paths, problems = against_table(shelf, file, watch)
        proven = bool(shelf.entry.md5)
    try:
        if problems or proven:
            stamp.leave(shelf, file, None if problems else paths)
        else:
            stamp.remove(shelf, file)
    except OSError as error:  # someone else's folder
        watch.say(f"runs will not know: no mark beside {file.name} ({error.strerror})")
    if problems:
        more = f" and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        return Finding(file.name, "damaged", "; ".join(problems[:MOST_PROBLEMS]) + more)
    if proven:
        return Finding(file.name, "verified", f"{len(paths)} files")
    return Finding(file.name, "complete", unproven(shelf, file, len(paths)))


def against_list(shelf: Shelf, file: File, watch: Watch) -> tuple[list[str], list[str]]:
    """Names of what was unpacked, and what differs from it now."""
    paths, problems = [], []
    watch.begin(f"reading what is of {file.name}", 0, None)
    for content in shelf.contents(file):
        paths.append(content.path)
        problem = differs(shelf.root / content.path, content.size, "sha256", content.sha256, watch)
        if problem:
            problems.append(f"{content.path} {problem}")
    known = set(paths)
    problems += [
        f"{path} is not of {file.name}"
        for path in shelf.found(file)
        if path not in known and is_data(path)
    ]
    return paths, problems


def against_file(shelf: Shelf, file: File, watch: Watch) -> Iterator[str]:
    """What differs from what is published of a file that is not unpacked."""
    try:
        checked(file, shelf.targets(file)[0], watch)
    except DamagedError as error:
        yield f"{file.unpacks_to[0]}: {error}"


def against_table(shelf: Shelf, file: File, watch: Watch) -> tuple[list[str], list[str]]:
    """Names of what is there, and what differs from the catalogue's checksums and numbers."""
    paths = [path for path in shelf.found(file) if is_data(path) or shelf.entry.md5]
    absent = [path for path in file.unpacks_to if not (shelf.root / path).exists()]
    problems = [f"{path} is missing" for path in absent]
    for name, md5 in shelf.entry.md5:
        problem = differs(shelf.root / shelf.entry.folder / name, None, "md5", md5, watch)
        if problem:
            problems.append(f"{shelf.entry.folder}/{name} {problem}")
    if file.n_files not in (None, len(paths)):
        problems.append(f"expected {file.n_files} files, got {len(paths)}")
    return paths, problems


def differs(
    path: Path, size: int | None, algorithm: str, expected: str, watch: Watch
) -> str | None:
    """How a file differs; None: it does not."""
    try:
        found = path.stat().st_size
        if size is not None and found != size:
            return f"has {found} bytes, expected {size}"
        digest = hashlib.new(algorithm)
        with path.open("rb") as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
                watch.advance(len(chunk))
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest.hexdigest() != expected:
        return f"has {algorithm} {digest.hexdigest()[:16]}, expected {expected[:16]}"
    return None


def provable(shelf: Shelf, file: File) -> bool:
    """Whether the archive's checksum can vouch for files: not for ImageNet's, sorted by hand."""
    return bool(file.checksums) and not shelf.entry.by_hand


def unproven(shelf: Shelf, file: File, n: int) -> str:
    """Why files that are all there are not verified."""
    found = f"{n} files, all there"
    if not file.checksums:
        return f"{found}; no checksum is published"
    if not provable(shelf, file):
        return f"{found}; no checksum of the files in {file.name} is published"
    place = shelf.archive(file).parent
    return f"{found}; only {file.name} has a published checksum: put it into {place}"
