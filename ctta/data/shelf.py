"""Where the files of a data set lie under the root of all data, and what is kept beside them.

``<root>/downloads/`` mirrors the root: beside the place of what a file of the catalogue unpacks to
it holds the file itself until then, ``<file>.part`` while it comes, ``<file>.unpacking/`` while it
is unpacked, and afterwards ``<file>.files`` (`ctta.data.contents`) and ``<file>.verified``
(`ctta.data.stamp`). Data sets that share a file, as those of DomainNet do, share all this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ctta.data.archives import is_archive
from ctta.data.catalogue import Entry, File
from ctta.data.contents import Contents
from ctta.data.suffixes import is_data


class Shelf:
    """The places of one data set.

    Args:
        entry: of the catalogue.
        root: folder of all data sets.
    """

    def __init__(self, entry: Entry, root: Path) -> None:
        self.entry, self.root = entry, root
        self.downloads = root / "downloads"
        self.lock = self.downloads / f"{entry.folder}.lock"

    def archive(self, file: File) -> Path:
        """The file as it is published."""
        return self.downloads / PurePosixPath(file.unpacks_to[0]).parent / file.name

    def part(self, file: File) -> Path:
        """What came of it so far."""
        return self.beside(file, ".part")

    def unpacking(self, file: File) -> Path:
        """A folder that mirrors the root while the file is unpacked."""
        return self.beside(file, ".unpacking")

    def contents(self, file: File) -> Contents:
        """The list of what was unpacked from it."""
        return Contents(self.beside(file, ".files"))

    def stamp(self, file: File) -> Path:
        """That its files were verified."""
        return self.beside(file, ".verified")

    def beside(self, file: File, ending: str) -> Path:
        """Where the file itself lies, with another ending."""
        return self.archive(file).with_name(file.name + ending)

    def targets(self, file: File) -> list[Path]:
        """What is there once it is unpacked: folders, or one file."""
        return [self.root / path for path in file.unpacks_to]

    def counted(self, file: File) -> int:
        """Images and arrays in its folders."""
        return sum(map(is_data, self.found(file)))

    def found(self, file: File) -> Iterator[str]:
        """What lies in its targets, relative to the root."""
        for target in self.targets(file):
            if target.is_file():
                yield target.relative_to(self.root).as_posix()
            for folder, _, names in os.walk(target):
                inside = Path(folder).relative_to(self.root).as_posix()
                yield from (f"{inside}/{name}" for name in names)

    def is_here(self, file: File) -> bool:
        """Whether its files are there, by names and sizes; where no list was kept, by number."""
        if not all(target.exists() for target in self.targets(file)):
            return False
        contents = self.contents(file)
        if contents.origin() is not None:
            return all(self.has(content.path, content.size) for content in contents)
        if not is_archive(file.name):
            (target,) = self.targets(file)
            return file.size in (None, target.stat().st_size)
        inside = all((self.root / self.entry.folder / n).is_file() for n, _ in self.entry.md5)
        return inside and (file.n_files is None or self.counted(file) >= file.n_files)

    def has(self, path: str, size: int) -> bool:
        """Whether a file of that size is there."""
        try:
            return (self.root / path).stat().st_size == size
        except OSError:
            return False
