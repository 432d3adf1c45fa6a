"""Which files are images and arrays, by their names."""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".tif", ".tiff"})


def is_image(name: str) -> bool:
    """Whether the ending is one of an image."""
    return PurePath(name).suffix.lower() in SUFFIXES


def is_data(name: str) -> bool:
    """Whether it is an image or an array, and no page of text beside them."""
    return name.endswith(".npy") or is_image(name)
