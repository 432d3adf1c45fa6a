"""What was unpacked from an archive: every file with size and SHA-256, kept as a text file.

The published checksum is the archive's. Through this list it vouches for the files as well, after
the archive is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Content:
    """One file.

    Attributes:
        path: relative to the root of all data.
        size: bytes.
        sha256: of its content.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """Where the files are from.

    Attributes:
        name: of the archive.
        checksums: published ones that the archive had; empty: none are published.
    """

    name: str
    checksums: dict[str, str]


class Contents:
    """The list of one archive; read line by line, since ImageNet-C has millions of files.

    Args:
        path: of the text file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, origin: Origin, files: Iterable[Content]) -> None:
        """Keep ``files`` as they come; the list appears when it is whole."""
        temporary = self.path.with_name(f"{self.path.name}.new")
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as out:
                out.write(json.dumps({"name": origin.name, "checksums": origin.checksums}) + "\n")
                for file in files:
                    out.write(f"{file.sha256} {file.size} {file.path}\n")
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def origin(self) -> Origin | None:
        """Where the files are from; None: there is no list."""
        try:
            with self.opened() as lines:
                first = json.loads(lines.readline())
            return Origin(first["name"], first["checksums"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def __iter__(self) -> Iterator[Content]:
        with self.opened() as lines:
            lines.readline()
            for line in lines:
                sha256, size, path = line.rstrip("\n").split(" ", 2)
                yield Content(path, int(size), sha256)

    def opened(self) -> IO[str]:
        """The text file."""
        return self.path.open(encoding="utf-8", newline="\n")
