"""What is in a tar or zip archive, without trusting it.

An archive from a public server may name files outside of the folder it is unpacked to, hold links
and devices, or unpack to far more than it promises. Nothing of the kind is in a data set, so
that the first such member ends the reading.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

LARGEST_RATIO: Final = 10  # of what it unpacks to and its size; images and noise stay far below
SMALLEST_LIMIT: Final = 64 << 20
MOST_MEMBERS: Final = 2_000_000
CHUNK: Final = 1 << 20
GZIP: Final = b"\x1f\x8b"
ENCRYPTED: Final = 1
NO_DATA: Final = ("__MACOSX",)  # what the archiver of a desktop adds


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        archive: that it is in.
        parts: of its path, none of them ``..`` or empty.
        size: bytes, as the archive declares.
        content: to be read before the next member is asked for.
    """

    archive: Path
    parts: tuple[str, ...]
    size: int
    content: IO[bytes]

    def chunks(self) -> Iterator[bytes]:
        """All that it holds.

        Raises:
            ValueError: see `members`.
        """
        with explained(self.archive):
            while chunk := self.content.read(CHUNK):
                yield chunk


def is_archive(name: str) -> bool:
    """Whether a file of that name is unpacked."""
    return name.endswith((".tar", ".tar.gz", ".tgz", ".zip"))


def members(archive: Path) -> Iterator[Member]:
    """The files in an archive, in its order; folders are left out.

    Raises:
        ValueError: it is damaged, or holds what no data set holds; the message names the archive.
    """
    limit = max(LARGEST_RATIO * archive.stat().st_size, SMALLEST_LIMIT)
    found, declared = 0, 0
    of_kind = zip_members if archive.name.endswith(".zip") else tar_members
    with explained(archive):
        for member in of_kind(archive, limit):
            found += 1
            declared += member.size
            if declared > limit or found > MOST_MEMBERS:
                raise UnsafeError(f"unpacks to more than {limit >> 20} MiB or {MOST_MEMBERS} files")
            if member.parts[0] not in NO_DATA:
                yield member


class UnsafeError(Exception):
    """What no data set holds."""


@contextmanager
def explained(archive: Path) -> Iterator[None]:
    """Around what reads ``archive``: what is wrong with it becomes one line.

    Raises:
        ValueError: something is.
    """
    try:
        yield
    except UnsafeError as error:
        raise ValueError(
            f"{archive}: {error}: nothing of it is used; delete it, and tell who offers it"
        ) from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{archive}: damaged ({' '.join(str(error).split())}); delete it, then type the same "
            "command to get it again"
        ) from None


def tar_members(archive: Path, limit: int) -> Iterator[Member]:
    """The files in a tar archive, compressed or not, whatever its name says."""
    with archive.open("rb") as raw:
        compressed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        plain = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if compressed else raw
        stream = Bounded(plain, limit)
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep every header
                parts = safe_parts(member.name)
                if not (member.isdir() or member.isreg()) or member.issparse():
                    raise UnsafeError(f"{member.name!r} is a link, a device or a file with holes")
                try:
                    tarfile.data_filter(member, str(archive.parent))
                except tarfile.FilterError as error:
                    raise UnsafeError(str(error)) from None
                if member.isreg():
                    content = tar.extractfile(member)
                    assert content is not None
                    yield Member(archive, parts, member.size, content)
        while stream.read(CHUNK):  # to the end: the checksum of the compression is there
            pass


def zip_members(archive: Path, limit: int) -> Iterator[Member]:
    """The files in a zip archive."""
    with zipfile.ZipFile(archive) as content:
        if sum(info.file_size for info in content.infolist()) > limit:  # before the first byte
            raise UnsafeError(f"unpacks to more than {limit >> 20} MiB")
        for info in content.infolist():
            parts = safe_parts(info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnsafeError(f"{info.filename!r} is a link or a device")
            if info.flag_bits & ENCRYPTED:
                raise UnsafeError(f"{info.filename!r} is encrypted")
            if not info.is_dir():
                with content.open(info) as file:
                    yield Member(archive, parts, info.file_size, file)


class Bounded:
    """A stream that ends with an error where it gives more than it should.

    Args:
        stream: what is read.
        limit: bytes.
    """

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.limit, self.done = stream, limit, 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        chunk = self.stream.read(size)
        self.done += len(chunk)
        if self.done > self.limit:
            raise UnsafeError(f"unpacks to more than {self.limit >> 20} MiB")
        return chunk


def safe_parts(name: str) -> tuple[str, ...]:
    """The parts of a member's path.

    Raises:
        UnsafeError: it may lead out of the folder that the archive is unpacked to.
    """
    path = PurePosixPath(name)
    strange = "\\" in name or name[1:2] == ":" or not name.isprintable()
    if path.is_absolute() or ".." in path.parts or strange:
        raise UnsafeError(f"{name!r} leads out of the folder it is unpacked to")
    return path.parts or (".",)
