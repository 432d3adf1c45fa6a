"""Folders of images: one folder a class, or a text list."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctta.data import catalogue
from ctta.data.base import Labelled, checked_labels
from ctta.data.decoding import ImageFiles, View, names_sha256
from ctta.data.suffixes import is_image


@cache
def imagenet_wnids() -> dict[str, int]:
    """The 1,000 class names of ImageNet and their numbers: positions in sorted order."""
    from timm.data import ImageNetInfo

    wnids = sorted(ImageNetInfo("imagenet-1k").label_names())
    return {wnid: number for number, wnid in enumerate(wnids)}


def class_folders(root: Path, remedy: str) -> list[str]:
    """The sorted names of the folders in ``root``.

    Raises:
        ValueError: no such folder, or none in it; images without labels are named.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; {remedy}")
    with os.scandir(root) as entries:
        content = list(entries)
    found = sorted(entry.name for entry in content if entry.is_dir())
    loose = sorted(e.name for e in content if is_image(e.name) and e.is_file())
    if loose:
        raise ValueError(
            f"{root / loose[0]}: an image without a label; expected {root}/<class>/<image>, one "
            f"folder a class; {remedy}"
        )
    if not found:
        raise ValueError(f"{root}: expected a folder for each class, got none; {remedy}")
    return found


def images_of(
    root: Path, classes: Sequence[str], numbers: Sequence[int], remedy: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Names (sorted within a class, classes in the order given) and labels of all images.

    Raises:
        ValueError: a class without an image.
    """
    names, labels = [], []
    for folder, number in zip(classes, numbers, strict=True):
        with os.scandir(root / folder) as entries:
            own = sorted(entry.name for entry in entries if is_image(entry.name))
        if not own:
            raise ValueError(f"{root / folder}: no images in it; {remedy}")
        names += [f"{folder}/{name}" for name in own]
        labels += [number] * len(own)
    return names, np.array(labels, dtype=np.int64)


def list_lines(path: Path, remedy: str) -> list[str]:
    """The lines of a list, stripped (copies with CRLF are about), without empty ones at the end.

    Raises:
        ValueError: no such file, no text, or nothing in it.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; {remedy}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise ValueError(f"{path}: expected a text file; {remedy}") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{path}: expected a line for each image, got none; {remedy}")
    return lines


def lines_sha256(lines: Sequence[str]) -> str:
    """SHA-256 of the lines joined by single line feeds."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def imagenet_list(path: Path, expected_sha256: str | None) -> tuple[list[str], NDArray[np.int64]]:
    """Names ``<wnid>/<image>`` and labels of a list of ImageNet images, in its order.

    Raises:
        ValueError: no such file, another list than expected, or a line of another form.
    """
    remedy = catalogue.entry("imagenet_ids").remedy()
    lines = list_lines(path, remedy)
    if expected_sha256 is not None and lines_sha256(lines) != expected_sha256:
        raise ValueError(
            f"{path}: expected the 5,000 lines with SHA-256 {expected_sha256[:16]}, got "
            f"{len(lines)} with {lines_sha256(lines)[:16]}; {remedy}; "
            "dataset.subset=own takes any list"
        )
    wnids, labels = imagenet_wnids(), []
    for number, line in enumerate(lines, start=1):
        wnid, slash, name = line.partition("/")
        if wnid not in wnids or not slash or not name or "/" in name:
            raise ValueError(f"{path}:{number}: expected <wnid>/<image>, got {line!r}; {remedy}")
        labels.append(wnids[wnid])
    return lines, np.array(labels, dtype=np.int64)


def labelled_list(path: Path, n_classes: int, remedy: str) -> tuple[list[str], NDArray[np.int64]]:
    """Names and labels of lines ``<path> <label>``.

    Raises:
        ValueError: no such file, a line of another form, or a label out of range.
    """
    names, labels = [], []
    for number, line in enumerate(list_lines(path, remedy), start=1):
        name, _, label = line.rpartition(" ")
        if not name or not label.isdecimal() or ".." in name.split("/") or name.startswith("/"):
            raise ValueError(f"{path}:{number}: expected '<path> <label>', got {line!r}; {remedy}")
        names.append(name)
        labels.append(int(label))
    return names, checked_labels(np.array(labels), n_classes, path, remedy)


def listed_images(
    folder: Path,
    path: Path,
    n_classes: int,
    *,
    n_images: int | None,
    view: View,
    remedy: str,
    workers: int,
) -> Labelled:
    """The first ``n_images`` of a list ``<path> <label>`` of images in ``folder``.

    Raises:
        ValueError: no such list, a line that does not fit, or an image that is not there.
    """
    names, labels = labelled_list(path, n_classes, remedy)
    names, labels = names[:n_images], labels[:n_images]
    files = ImageFiles(folder, names, view=view, remedy=remedy, workers=workers)
    files.require_all()
    return Labelled(files, labels, names_sha256(names, labels))


def imagenet_folder(folder: Path, *, view: View, remedy: str, workers: int) -> Labelled:
    """A folder of ImageNet's class folders; all 1,000 must be there.

    Raises:
        ValueError: no such folder, or others than the 1,000.
    """
    names, labels = imagenet_files(folder, remedy)
    files = ImageFiles(folder, names, view=view, remedy=remedy, workers=workers)
    return Labelled(files, labels, f"{names_sha256(names, labels)}, {view}")


def imagenet_files(folder: Path, remedy: str) -> tuple[list[str], NDArray[np.int64]]:
    """Names and labels in a folder that holds all 1,000 class folders of ImageNet."""
    wnids = imagenet_wnids()
    found = class_folders(folder, remedy)
    if found != list(wnids):
        strange = [name for name in found if name not in wnids]
        reason = f"{strange[0]!r} is none of them" if strange else f"got {len(found)} of them"
        raise ValueError(f"{folder}: expected the 1000 classes of ImageNet, {reason}; {remedy}")
    return images_of(folder, found, range(len(found)), remedy)
