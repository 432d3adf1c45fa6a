"""From an archive to its files: beside the place first, then moved there."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from ctta.data import archives
from ctta.data.catalogue import File
from ctta.data.contents import Content, Origin
from ctta.data.part import writing
from ctta.data.shelf import Shelf
from ctta.data.suffixes import is_data
from ctta.data.watch import Watch


def install(shelf: Shelf, file: File, watch: Watch) -> None:
    """Put the files of a whole and checked archive where the loaders look.

    Nothing is there before everything could be unpacked. Files that are there already are replaced
    one by one, others beside them are left.

    Raises:
        ValueError: the archive is damaged, holds what no data set holds or other folders than
            expected, or there is no room.
    """
    archive, staging = shelf.archive(file), shelf.unpacking(file)
    if not archives.is_archive(file.name):
        (target,) = shelf.targets(file)
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            listed(shelf, file, watch, into=None)
            renamed(archive, target)
        return
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with writing(staging):
            listed(shelf, file, watch, into=staging)
            for path, target in zip(file.unpacks_to, shelf.targets(file), strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                moved(staging / path, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def listed(shelf: Shelf, file: File, watch: Watch, *, into: Path | None) -> None:
    """Write the list of what is in an archive, and unpack it on the way if asked to.

    Args:
        shelf: the places of the data set.
        file: of the catalogue; it lies there, checked.
        watch: is told how far it is.
        into: a folder that mirrors the root; None: only read.

    Raises:
        ValueError: see `install`.
    """
    archive = shelf.archive(file)
    watch.begin(f"{'reading' if into is None else 'unpacking'} {file.name}", 0, None)
    if not archives.is_archive(file.name):
        with archive.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        found = [Content(file.unpacks_to[0], archive.stat().st_size, digest)]
        shelf.contents(file).write(Origin(file.name, file.checksums), found)
        return
    tops: dict[str, None] = {}
    n_counted = 0
    missing = set(file.unpacks_to)

    def unpacked() -> Iterator[Content]:
        nonlocal n_counted
        for member in archives.members(archive):
            tops.setdefault(member.parts[0])
            path = destination(member.parts, file.unpacks_to)
            if path is None:
                continue
            missing.discard(next(t for t in file.unpacks_to if path.startswith(f"{t}/")))
            n_counted += is_data(path)
            yield written(member, path, into, watch, archive)
        if missing:
            raise ValueError(
                f"{archive}: expected {', '.join(sorted(missing))} in it, got "
                f"{', '.join(list(tops)[:5]) or 'nothing'}; unpack it by hand into {shelf.root}"
            )
        if not file.checksums and file.n_files not in (None, n_counted):
            raise ValueError(
                f"{archive}: expected {file.n_files} images in it, got {n_counted}; delete it, "
                "then type the same command to get it again"
            )

    shelf.contents(file).write(Origin(file.name, file.checksums), unpacked())


def written(
    member: archives.Member, path: str, into: Path | None, watch: Watch, archive: Path
) -> Content:
    """One member, put under ``into`` if that is given."""
    digest = hashlib.sha256()
    try:
        if into is not None:
            (into / path).parent.mkdir(parents=True, exist_ok=True)
        with nullcontext() if into is None else (into / path).open("xb") as out:
            for chunk in member.chunks():
                digest.update(chunk)
                if out is not None:
                    out.write(chunk)
                watch.advance(len(chunk))
    except (FileExistsError, NotADirectoryError):
        raise ValueError(
            f"{archive}: {path} is in it twice: nothing of it is used; delete it"
        ) from None
    return Content(path, member.size, digest.hexdigest())


def destination(parts: Sequence[str], targets: Sequence[str]) -> str | None:
    """Where a member goes, relative to the root; None: it belongs to none of the targets.

    Args:
        parts: of its path in the archive; what stands before a target's own name differs between
            copies of an archive.
        targets: folders, relative to the root.
    """
    if parts[-1].startswith("._"):  # attributes that a desktop keeps beside each file
        return None
    by_name = {target.rpartition("/")[2]: target for target in targets}
    for position, part in enumerate(parts[:-1]):
        if part in by_name:
            return "/".join([by_name[part], *parts[position + 1 :]])
    return None


def moved(source: Path, target: Path) -> None:
    """Move a folder; where there is one already, move its files over those of that one."""
    if not target.exists():
        renamed(source, target)
        return
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            renamed(path, place)


def renamed(source: Path, target: Path) -> None:
    """Rename, which either happens or does not.

    Raises:
        ValueError: they lie on different disks.
    """
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise ValueError(
            f"{target} is on another disk than {source}; make the folder for downloads beside it a "
            "link to one on that disk, or set CTTA_DATA (--root)"
        ) from None
