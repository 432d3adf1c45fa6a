"""An entry for a published model, and what several entries say alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ctta.models.source import ModelCard, SourceError

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_256 = "resize 256 bilinear, centre crop 224"
# SHA-256 over names <wnid>/<image> and labels: of RobustBench's 5,000 images in the order of
# imagenet_test_image_ids.txt, and of all 50,000 by class and name.
LIST_5000 = "9b88e5125ad15ae964208ebad9bda64711911c1b31a19e9bd8e520dfa27846af"
LIST_ALL = "64eeb12d9446ccc598b10d497824bbb96d41735bc48382abfcb32c39fa29196d"
# SHA-256 of the 1,000 WordNet ids, one a line.
WNIDS = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
COTTA = "CoTTA, CVPR 2022, table 2"
DOEBLER = "mariodoebler/test-time-adaptation at ef3a2a6, classification/benchmark.md"
ROBUSTBENCH = "RobustBench/robustbench at 78fcc9e"
DRIVE = "https://drive.google.com/uc?id="


@dataclass(frozen=True)
class Published:
    """A network and its file of weights.

    Attributes:
        make: the network, without weights.
        file: where it lies, relative to the models in the cache.
        url: where it is published.
        card: what is known of it; hashes are those of what is loaded.
        sha256: of the file or its first digits, as published; None: no checksum is published.
        head: name of the last layer; None: the last linear one.
    """

    make: Callable[[], nn.Module]
    file: str
    url: str
    card: ModelCard
    sha256: str | None = None
    head: str | None = None


def imagenet(side: int = 224, **facts: Any) -> ModelCard:
    """Card of a model for the 1,000 classes of ImageNet, in the order of their WordNet ids."""
    normal = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return ModelCard(
        image_shape=(3, side, side),
        n_classes=1000,
        weights_sha256="",
        crop=side,
        classes="imagenet",
        classes_sha256=WNIDS,
        **{**normal, **facts},
    )


def errors(source: str, **by_data: float) -> tuple[SourceError, ...]:
    """Published errors on files as they are stored; ImageNet-C's hold for its two lists."""
    lists = {"imagenet_c": (LIST_5000, LIST_ALL)}
    return tuple(
        SourceError(data, error, source, list_sha256=images)
        for data, error in by_data.items()
        for images in lists.get(data, (None,))
    )


def cropped(preprocessing: str, source: str, **by_data: float) -> tuple[SourceError, ...]:
    """Published errors on photographs, which are resized and cropped first."""
    return tuple(SourceError(data, error, source, preprocessing) for data, error in by_data.items())


def robustbench(data: str, name: str) -> dict[str, Any]:
    """File, tag, source and licence of an entry of RobustBench."""
    return {
        "weights_tag": f"RobustBench {data} {name}",
        "source": f"{ROBUSTBENCH}, robustbench/model_zoo/{data}.py",
        "licence": "MIT",
    }


def robustbench_file(data: str, name: str) -> str:
    """Where RobustBench puts a file, below a folder of its own."""
    return f"robustbench/{data}/corruptions/{name}.pt"
