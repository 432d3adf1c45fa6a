"""CCC, continuously changing corruptions: published shards, or generated on the fly.

Source: Press, Schneider, Kümmerer & Bethge, "RDumb: A simple approach that questions our progress
in continual test-time adaptation", NeurIPS 2023, and oripress/CCC at 656dec3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from ctta.data import catalogue
from ctta.data.ccc_generated import GeneratedCCC
from ctta.data.ccc_shards import CCCShards
from ctta.data.sequential import SequentialData

BASELINES: Final = (0, 20, 40)  # hard, medium, easy: ResNet-50's accuracy along the path
SPEEDS: Final = (1000, 2000, 5000)  # images at each step of the path
N_IMAGES: Final = 7_500_000


def ccc(
    *,
    root: str | Path,
    form: Literal["shards", "generated"] = "shards",
    baseline: int = 20,
    speed: int = 1000,
    seed: int = 43,
    n_images: int = N_IMAGES,
    shards: str | None = None,
    calibration: str | Path | None = None,
    workers: int = 2,
) -> SequentialData:
    """One CCC stream.

    Args:
        root: folder of all data sets.
        form: ``shards`` (as published) or ``generated`` (from ImageNet's validation set).
        baseline: 0 (hard), 20 (medium) or 40 (easy).
        speed: images a step of the path: 1000, 2000 or 5000.
        seed: 43, 44 or 45 in the published streams.
        n_images: where it ends.
        shards: folder or address with the streams' folders; None: <root>/CCC where it holds the
            stream, else the authors' server.
        calibration: ``ccc_accuracy_matrix.pickle``; None: <root>/CCC/ccc_accuracy_matrix.pickle.
        workers: threads that decode.

    Raises:
        ValueError: a value out of range, or files that are not there.
    """
    if form not in ("shards", "generated"):
        raise ValueError(f"form: expected shards or generated, got {form!r}")
    if baseline not in BASELINES:
        raise ValueError(f"baseline: expected {in_words(BASELINES)}, got {baseline}")
    if form == "shards" and speed not in SPEEDS:
        raise ValueError(f"speed: expected {in_words(SPEEDS)}, got {speed}")
    if speed < 1 or seed < 0 or n_images < 1:
        raise ValueError("speed, seed, n_images: expected at least 1, 0 and 1")
    own = Path(root).expanduser() / catalogue.entry("ccc").folder
    stream = f"baseline_{baseline}_transition+speed_{speed}_seed_{seed}"
    if form == "generated":
        return GeneratedCCC(
            root=root,
            stream=stream,
            calibration=Path(calibration or own / "ccc_accuracy_matrix.pickle").expanduser(),
            baseline=baseline,
            speed=speed,
            seed=seed,
            n_images=n_images,
            workers=workers,
        )
    if shards is None:
        shards = str(own) if (own / stream).is_dir() else catalogue.CCC_SHARDS
    return CCCShards(root=root, place=shards, stream=stream, speed=speed, n_images=n_images)


def in_words(numbers: tuple[int, ...]) -> str:
    """The numbers with ``or`` between them."""
    return " or ".join(map(str, numbers))
