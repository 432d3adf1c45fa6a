"""Where files go: environment variables, a configuration's paths, and the defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


def cache_dir(chosen: str | os.PathLike[str] | None = None) -> Path:
    """Source models and artefacts: ``chosen``, else ``CTTA_CACHE``, else ``~/.cache/ctta``."""
    return place(chosen, "CTTA_CACHE", Path.home() / ".cache" / "ctta")


def runs_dir(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The run store: ``chosen``, else ``CTTA_RUNS``, else ``runs`` in the current folder."""
    return place(chosen, "CTTA_RUNS", Path("runs"))


def data_dir(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The data sets: ``chosen``, else ``CTTA_DATA``, else ``data`` in the current folder."""
    return place(chosen, "CTTA_DATA", Path("data"))


def place(chosen: str | os.PathLike[str] | None, variable: str, default: Path) -> Path:
    """The first of ``chosen``, the environment's ``variable`` and ``default`` that is given."""
    return Path(chosen or os.environ.get(variable) or default).expanduser()


def writable(folder: Path, variable: str) -> Path:
    """Make ``folder`` if it is not there.

    Raises:
        ValueError: it cannot be made or written to; the message says what to set instead.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"cannot use the folder {folder} ({reason}); set {variable}") from None
    if not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write to the folder {folder}; set {variable} to another one")
    return folder


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; what is written there inside takes the name at the end.

    Content and name are on the disk then: a killed process or a power cut leaves the earlier file
    or the new one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        on_disk(temporary)
        temporary.replace(path)
        on_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def on_disk(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def saving(folder: Path, variable: str) -> Iterator[None]:
    """Around what writes to ``folder``: a full disk and the like become one clear line.

    Raises:
        ValueError: something inside could not be written; the message says what to set instead.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors does not pass on the system's error
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot write to the folder {folder} ({reason}); "
            f"change that, or set {variable} to another one"
        ) from error


def offline() -> bool:
    """Whether ``CTTA_OFFLINE`` forbids the network."""
    return os.environ.get("CTTA_OFFLINE", "") not in ("", "0")
