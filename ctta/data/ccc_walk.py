"""The path of a CCC stream: pairs of noises at severities of constant predicted accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ctta.data import plain_pickle

N_STEPS: Final = 21  # severities 0 to 5 in quarters
# Names in the calibration file, and the corruptions that they are.
NOISES: Final = {
    "gaussian_noise": "gaussian_noise",
    "shot_noise": "shot_noise",
    "impulse_noise": "impulse_noise",
    "defocus_blur": "defocus_blur",
    "glass_blur": "glass_blur",
    "motion_blur": "motion_blur",
    "zoom_blur": "zoom_blur",
    "snow": "snow",
    "frost": "frost",
    "fog": "fog",
    "contrast": "contrast",
    "elastic": "elastic_transform",
    "pixelate": "pixelate",
    "jpeg": "jpeg_compression",
}
HARD: Final = ("gaussian_noise", "shot_noise", "impulse_noise", "contrast")


@dataclass(frozen=True)
class Step:
    """One point of the path; severities from 0 to 5."""

    first: str
    second: str
    first_severity: float
    second_severity: float


def noises(baseline: int) -> tuple[str, ...]:
    """The noises of a difficulty: all 14 for 40, without JPEG for 20, four for 0."""
    if baseline >= 40:
        return tuple(NOISES)
    return tuple(n for n in NOISES if n != "jpeg") if baseline >= 20 else HARD


def read_calibration(path: Path, names: Sequence[str], remedy: str) -> dict[str, NDArray[Any]]:
    """Accuracy in % for each pair of noises, float [21,21] by the two severities.

    Raises:
        ValueError: no such file, or a pair that is missing or of another shape.
    """
    content = plain_pickle.read(path, remedy)
    found = {}
    for first in names:
        for second in names:
            if first == second:
                continue
            key = f"n1_{first}_n2_{second}"
            matrix = content.get(key) if isinstance(content, dict) else None
            if not isinstance(matrix, np.ndarray) or matrix.shape != (N_STEPS, N_STEPS):
                raise ValueError(
                    f"{path}: expected '{key}' of {N_STEPS} x {N_STEPS} numbers, got "
                    f"{'none' if matrix is None else getattr(matrix, 'shape', 'another')}; {remedy}"
                )
            found[key] = matrix
    return found


def calibration_sha256(matrices: dict[str, NDArray[Any]]) -> str:
    """SHA-256 over names and numbers."""
    digest = hashlib.sha256()
    for key in sorted(matrices):
        digest.update(key.encode())
        digest.update(matrices[key].astype("<f8").tobytes())
    return digest.hexdigest()


def find_path(accuracy: NDArray[Any], target: float) -> list[tuple[int, int]]:
    """From (i, 0) to (0, j): the first noise fades while the second rises.

    Each point goes on to the neighbour (one less of the first, or one more of the second) with
    which the mean accuracy up to the end is nearer to ``target``; it starts where that mean is
    nearest.

    Args:
        accuracy: [n,n] by the severity numbers of the two noises.
        target: in the same unit.
    """
    n = len(accuracy)
    total = np.full((n, n + 1), np.inf)  # beside the last column there is no way on
    length = np.ones((n, n + 1), dtype=np.int64)
    fades = np.zeros((n, n), dtype=bool)
    total[0, :n] = accuracy[0]
    for i in range(1, n):
        for j in reversed(range(n)):
            ways = [(total[p] + accuracy[i, j], length[p] + 1) for p in ((i - 1, j), (i, j + 1))]
            off = [abs(t / k - target) for t, k in ways]
            fades[i, j] = off[0] < off[1]
            total[i, j], length[i, j] = ways[0 if fades[i, j] else 1]
    start = 1 + int(np.argmin(np.abs(total[1:, 0] / length[1:, 0] - target)))
    i, j, path = start, 0, [(start, 0)]
    while i > 0:
        i, j = (i - 1, j) if fades[i, j] else (i, j + 1)
        path.append((i, j))
    return path


def walk(matrices: dict[str, NDArray[Any]], baseline: int, seed: int) -> Iterator[Step]:
    """The points of the path without end: at the end of a pair the second noise is the first."""
    names = noises(baseline)
    generator = np.random.Generator(np.random.PCG64(seed))
    first, second = (names[i] for i in generator.permutation(len(names))[:2])
    while True:
        for i, j in find_path(matrices[f"n1_{first}_n2_{second}"], baseline):
            yield Step(NOISES[first], NOISES[second], i / 4, j / 4)
        others = [name for name in names if name != second]
        first, second = second, others[generator.integers(len(others))]
