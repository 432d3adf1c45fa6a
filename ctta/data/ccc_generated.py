"""CCC streams generated on the fly from clean ImageNet.

Not the published pixels: those come from a global generator and from parameters of their own
between the severities. Here an image's draws depend on its number in the stream alone, so that any
batch can be made without those before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ctta.counter import Rows
from ctta.data import catalogue
from ctta.data.base import Labelled
from ctta.data.ccc_walk import Step, calibration_sha256, noises, read_calibration, walk
from ctta.data.clean import imagenet_test, imagenet_train, thinned
from ctta.data.corruptions import RECIPE_VERSION, TABLES, functions
from ctta.data.corruptions.digital import jpeg
from ctta.data.corruptions.table import CORRUPTIONS, Params
from ctta.data.decoding import ImageFiles, View, names_sha256
from ctta.data.folders import imagenet_files
from ctta.data.sequential import SequentialData

SIDE: Final = 224
QUALITY: Final = 85
CROP_STREAM: Final = 0xCCC0  # of the counter: apart from every corruption's own
NOISE_STREAM: Final = 0xCC00
TRIES: Final = 10


class GeneratedCCC(SequentialData):
    """A walk through pairs of noises at constant predicted accuracy, ``speed`` images a step.

    Args:
        root: folder of all data sets.
        stream: name of the published stream with these values.
        calibration: the accuracy matrices.
        baseline: accuracy in % along the path.
        speed: images a step.
        seed: of the path, the choice of images, the crops and the noises.
        n_images: where the stream ends.
        workers: threads that decode.

    Raises:
        ValueError: a file or folder that is missing or not as published.
    """

    name = "ccc"
    n_classes = 1000

    def __init__(
        self,
        *,
        root: str | Path,
        stream: str,
        calibration: Path,
        baseline: int,
        speed: int,
        seed: int,
        n_images: int,
        workers: int,
    ) -> None:
        self.root, self.stream, self.n_images = Path(root).expanduser(), stream, n_images
        self.baseline, self.speed, self.seed, self.workers = baseline, speed, seed, workers
        remedy = catalogue.entry("ccc").remedy()
        self.matrices = read_calibration(calibration, noises(baseline), remedy)
        found = catalogue.entry("imagenet")
        folder = self.root / found.folder / "val"
        self.names, self.labels = imagenet_files(folder, found.remedy())
        self.files = ImageFiles(
            folder, self.names, view=View(), remedy=found.remedy(), workers=workers
        )
        n_steps = -(-n_images // speed)
        self.steps = list(islice(walk(self.matrices, baseline, seed), n_steps))

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the path, the images and their pixels."""
        return {
            "id": self.name,
            "version": self.version,
            "form": "generated",
            "stream": self.stream,
            "n_images": self.n_images,
            "calibration_sha256": calibration_sha256(self.matrices),
            "list_sha256": names_sha256(self.names, self.labels),
            "corruption_recipe": RECIPE_VERSION,
            "preprocessing": f"random flip and resized crop {SIDE}, JPEG {QUALITY}, uint8 / 255",
        }

    def clean_samples(self) -> Labelled | None:
        """ImageNet's validation set."""
        return thinned(imagenet_test(self.root, workers=self.workers), self.n_images)

    def training_samples(self) -> Labelled:
        """ImageNet's training set."""
        return imagenet_train(self.root, workers=self.workers)

    def blocks(self, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 [n,3,224,224] and labels [n]."""
        for first in range(start, self.n_images, size):
            images, labels = [], []
            last, number = min(first + size, self.n_images), first
            while number < last:
                step = number // self.speed
                end = min(last, (step + 1) * self.speed)
                numbers = np.arange(number, end)
                own = self.drawn(step)[numbers % self.speed % len(self.names)]
                images.append(self.made(self.steps[step], own, torch.from_numpy(numbers)))
                labels.append(torch.from_numpy(self.labels[own]))
                number = end
            yield torch.cat(images), torch.cat(labels)

    def drawn(self, step: int) -> NDArray[np.int64]:
        """The validation images in the random order of one step."""
        generator = np.random.Generator(np.random.PCG64([self.seed, step]))
        return generator.permutation(len(self.names))

    def made(self, step: Step, own: NDArray[np.int64], numbers: Tensor) -> Tensor:
        """The images ``own`` as the numbers ``numbers`` of the stream, uint8 [n,3,224,224]."""
        draws = Rows(numbers, stream=CROP_STREAM, seed=self.seed).uniform(1 + 4 * TRIES)
        images = self.files.stacked(
            self.cropped, [(self.names[i], u.tolist()) for i, u in zip(own, draws, strict=True)]
        )
        images = at_severity(images, step.first, step.first_severity, numbers, 2 * self.seed)
        images = at_severity(images, step.second, step.second_severity, numbers, 2 * self.seed + 1)
        return jpeg(images, QUALITY)

    def cropped(self, item: tuple[str, list[float]]) -> Tensor:
        """A file and its draws: flipped at random, a random part resized; uint8 [3,224,224]."""
        from torchvision.transforms import functional as F

        name, uniforms = item

        def view(image: Image.Image) -> Tensor:
            if uniforms[0] < 0.5:
                image = F.hflip(image)
            left, top, width, height = random_box(image.width, image.height, uniforms[1:])
            image = F.resized_crop(image, top, left, height, width, [SIDE, SIDE])
            pixels: Tensor = F.pil_to_tensor(image)
            return pixels

        return self.files.one(name, view)


def random_box(width: int, height: int, uniforms: list[float]) -> tuple[int, int, int, int]:
    """(left, top, width, height) of 8 to 100 % of the area with sides 3:4 to 4:3.

    Ten tries, else the largest centre with such sides: the rule of RandomResizedCrop.
    """
    low, high = np.log(3 / 4), np.log(4 / 3)
    for i in range(TRIES):
        u_area, u_ratio, u_left, u_top = uniforms[4 * i : 4 * i + 4]
        area = width * height * (0.08 + 0.92 * u_area)
        ratio = float(np.exp(low + (high - low) * u_ratio))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            return int(u_left * (width - w + 1)), int(u_top * (height - h + 1)), w, h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - w) // 2, (height - h) // 2, w, h


def at_severity(
    images: Tensor, corruption: str, severity: float, numbers: Tensor, seed: int
) -> Tensor:
    """The images under a corruption at a severity from 0 to 5, uint8 [n,3,H,W].

    Between two severities the parameters are interpolated; below 1, the image at severity 1 is
    mixed with the clean one.
    """
    if severity == 0:
        return images
    draw, apply = functions(corruption)
    stream = NOISE_STREAM + CORRUPTIONS.index(corruption)
    params = parameters_at(corruption, max(severity, 1.0))
    draws = draw(Rows(numbers, stream=stream, seed=seed), images, params)
    result = apply(images, params, draws)
    if severity >= 1:
        return result
    return torch.lerp(images.float(), result.float(), severity).round().to(torch.uint8)


def parameters_at(corruption: str, severity: float) -> Params:
    """The table's parameters at a severity from 1 to 5, linear between two rows.

    A parameter that is a whole number in every row stays one.
    """
    rows = TABLES["imagenet"][corruption]
    low = min(int(severity), len(rows) - 1)
    share = severity - low
    return tuple(
        round(a + share * (b - a))
        if all(isinstance(row[i], int) for row in rows)
        else a + share * (b - a)
        for i, (a, b) in enumerate(zip(rows[low - 1], rows[low], strict=True))
    )
