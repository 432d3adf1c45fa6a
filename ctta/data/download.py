"""A data set from the network to where its loader looks."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ctta.data import stamp
from ctta.data.catalogue import Entry, File
from ctta.data.part import discard, length, note_of, writing
from ctta.data.shelf import Shelf
from ctta.data.transfer import DamagedError, UnavailableError, checked, fetch
from ctta.data.unpacking import install
from ctta.data.watch import Watch
from ctta.locks import alone
from ctta.places import offline, writable

UNPACKED_RATIO: Final = 1.2  # room that the files of an archive take, with what a file system adds


def download(
    entry: Entry,
    root: Path,
    *,
    only: Sequence[str] = (),
    no_network: bool = False,
    keep: bool = False,
    watch: Watch,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Get what is missing of a data set, check it and unpack it; what is there is left alone.

    Args:
        entry: of the catalogue.
        root: folder of all data sets.
        only: names of the files to get; empty: all.
        no_network: take only what lies in the folder for downloads already.
        keep: leave the archives there after unpacking.
        watch: is told how far it is.
        sleep: waits so many seconds between two requests.

    Raises:
        ValueError: a login stands before the set, an unknown file, no room, another process is at
            it, no network, no address that gives a file, or an archive that is not fit; what was
            finished is kept.
    """
    shelf = Shelf(entry, root)
    files = chosen(entry, only)
    if entry.by_hand:
        raise ValueError(by_hand(entry, root))
    writable(shelf.downloads, "CTTA_DATA (--root)")
    failures = []
    with alone(shelf.lock, entry.name):
        missing = []
        for file in files:
            watch.begin(f"looking for {file.name}", 0, None)  # one file may be 750,000 images
            if shelf.is_here(file):
                watch.say(f"{file.name} is here already")
            else:
                missing.append(file)
        enough_room(root, entry.name, needed(shelf, missing, keep))
        for file in missing:
            writable(shelf.archive(file).parent, "CTTA_DATA (--root)")
            try:
                obtain(shelf, file, no_network=no_network or offline(), watch=watch, sleep=sleep)
            except UnavailableError as error:
                failures.append((str(error), shelf.archive(file)))  # the others may be had
                continue
            finish(shelf, file, keep=keep, watch=watch)
    if failures:
        reasons, places = zip(*failures, strict=True)
        raise ValueError(
            f"{'; '.join(reasons)}; try again later, or get it in another way from {entry.page} "
            f"and put it there: {', '.join(map(str, places))}"
        )


def chosen(entry: Entry, only: Sequence[str]) -> list[File]:
    """The files of an entry that ``only`` names.

    Raises:
        ValueError: it names another one.
    """
    known = [file.name for file in entry.files]
    for name in only:
        if name not in known:
            expected = ", ".join(known)
            raise ValueError(f"--only: expected files of {entry.name} ({expected}), got {name!r}")
    return [file for file in entry.files if not only or file.name in only]


def by_hand(entry: Entry, root: Path) -> str:
    """What to do for a set that a login stands before."""
    steps = entry.by_hand.format(folder=root / entry.folder)
    return f"{entry.name} needs a login at {entry.page}: {steps}; expected there: {entry.layout}"


def needed(shelf: Shelf, missing: Sequence[File], keep: bool) -> int:
    """Bytes of room that the files take at most, as far as their sizes are published."""
    most, lasting = 0, 0
    for file in missing:
        size = file.size or 0
        have = length(shelf.archive(file)) or length(shelf.part(file))
        unpacked = int(UNPACKED_RATIO * size)
        most = max(most, lasting + size - have + unpacked)
        lasting += unpacked + (size - have if keep else 0)
    return most


def enough_room(root: Path, what: str, n_bytes: int) -> None:
    """Refuse to begin what will not fit.

    Raises:
        ValueError: less than ``n_bytes`` are free.
    """
    free = shutil.disk_usage(root).free
    if free < n_bytes:
        raise ValueError(
            f"{root}: {what} takes {gib(n_bytes)} with what it unpacks to, {gib(free)} are free; "
            "make room, or set CTTA_DATA (--root) to another folder"
        )


def gib(n_bytes: int) -> str:
    """Bytes in the words of people."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.1f} MiB"


def obtain(
    shelf: Shelf,
    file: File,
    *,
    no_network: bool,
    watch: Watch,
    sleep: Callable[[float], None],
) -> None:
    """Have the whole and checked file in the folder for downloads.

    Raises:
        UnavailableError: no address gives it.
        ValueError: one lies there that is not as published, or it cannot be had without network.
    """
    archive, part = shelf.archive(file), shelf.part(file)
    if archive.is_file():
        try:
            checked(file, archive, watch)
        except DamagedError as error:
            raise ValueError(f"{archive}: {error}; delete it, then type the same command") from None
        return
    if no_network:
        raise UnavailableError(
            f"{archive}: no such file, and there is no network (CTTA_OFFLINE, --offline)"
        )
    room = partial(room_for, shelf.root, file.name)
    fetch(file, part, watch=watch, room=room, sleep=sleep)
    with writing(archive), part.open("rb") as whole:
        os.fsync(whole.fileno())  # what is renamed is on the disk
    part.replace(archive)


def room_for(root: Path, name: str, n_bytes: int) -> None:
    """`enough_room` for a file whose size only its server knows."""
    enough_room(root, name, n_bytes + int(UNPACKED_RATIO * n_bytes))


def finish(shelf: Shelf, file: File, *, keep: bool, watch: Watch) -> None:
    """Unpack, mark as verified, and remove the archive if it is ours."""
    install(shelf, file, watch)
    if file.checksums:
        stamp.leave(shelf, file, [content.path for content in shelf.contents(file)])
    else:
        stamp.remove(shelf, file)
    part = shelf.part(file)
    if note_of(part).exists() and not keep:  # else someone put it there
        shelf.archive(file).unlink(missing_ok=True)
    discard(part)
    watch.say(f"{file.name} is in {shelf.root / file.unpacks_to[0]}")
