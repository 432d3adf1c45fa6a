"""Any clean images, corrupted on the fly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ctta.data.base import DataSet, Labelled, checked_severity, domains, sha256
from ctta.data.corruptions import CORRUPTIONS, RECIPE_VERSION, VALIDATION_CORRUPTIONS, corrupt
from ctta.data.corruptions.frost_textures import FILES
from ctta.data.images import Images, Pixels


class CorruptedImages(DataSet):
    """A clean test set whose domains are its corruptions.

    The same image has the same pixels under a corruption in any batch and any order, and on the CPU
    of any machine. A CUDA device may round some of them to another level, so what it corrupts is
    another data set.

    Args:
        images: uint8 [N,3,H,W]; a tensor, or files that are read when they are asked for.
        labels: int64 [N], from 0.
        name: of the data set, as it appears in records.
        version: of its content.
        content_sha256: of the images and labels; needed for files, else taken from the tensors.
        severity: 1 to 5, what a stream shows unless its schedule says otherwise.
        corruptions: the domains in order; None: the 15 of the benchmark.
        corruption_seed: of the corruptions' draws; another one is another data set.
        second_jpeg: the JPEG round trip at quality 85 with which ImageNet-C was stored.
        frost_textures: folder with the photographs of the ImageNet-C scripts; None: synthetic.
        train: training images and labels for methods with a preparation, what reads them, or None.
        verified: whether the files of the images match published checksums; None: not known.
        corrupt_on: ``cpu``, or ``cuda``: images go there as uint8, are corrupted there, and stay.

    Raises:
        ValueError: a shape, dtype, severity, seed or corruption that does not fit, or a device that
            is not there.
    """

    def __init__(
        self,
        images: Images,
        labels: Tensor,
        *,
        name: str,
        version: int = 1,
        content_sha256: str | None = None,
        severity: int = 5,
        corruptions: Sequence[str] | None = None,
        corruption_seed: int = 0,
        second_jpeg: bool = False,
        frost_textures: str | Path | None = None,
        train: tuple[Tensor, Tensor] | Callable[[], Labelled] | None = None,
        verified: bool | None = None,
        corrupt_on: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        if isinstance(images, Tensor) and (
            images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3
        ):
            raise ValueError(
                f"images: expected uint8 [N,3,H,W], got {images.dtype} {list(images.shape)}"
            )
        if labels.shape != (len(images),) or len(labels) == 0 or int(labels.min()) < 0:
            raise ValueError(
                f"labels: expected {len(images)} class numbers from 0, got {list(labels.shape)}"
            )
        if corruption_seed < 0:
            raise ValueError(f"corruption_seed: expected at least 0, got {corruption_seed}")
        if corrupt_on not in ("cpu", "cuda"):
            raise ValueError(f"corrupt_on: expected cpu or cuda, got {corrupt_on!r}")
        if corrupt_on == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                "corrupt_on: expected a CUDA device, got none here; type dataset.corrupt_on=cpu "
                "(another data set)"
            )
        self.severity = checked_severity(severity)
        self.corruptions = domains(corruptions, CORRUPTIONS, VALIDATION_CORRUPTIONS)
        self.name, self.version, self.corruption_seed = name, version, corruption_seed
        self.n_classes = int(labels.max()) + 1
        if content_sha256 is None:
            if not isinstance(images, Tensor):
                raise ValueError("content_sha256: expected a hash for images that are files")
            content_sha256 = sha256(images, labels)
        self.clean = Labelled(images, np.asarray(labels.numpy(), dtype=np.int64), content_sha256)
        self.second_jpeg = second_jpeg
        self.frost_textures = None if frost_textures is None else Path(frost_textures).expanduser()
        self.train, self.as_published, self.corrupt_on = train, verified, corrupt_on

    @property
    def identity(self) -> dict[str, Any]:
        """What makes this data set this one; part of a stream's protocol."""
        switches: dict[str, Any] = {}
        if self.second_jpeg:
            switches["second_jpeg"] = 85
        if self.frost_textures is not None:
            switches["frost_sha256"] = textures_sha256(self.frost_textures)
        if self.corrupt_on != "cpu":
            switches["corrupt_on"] = self.corrupt_on
        return {
            "id": self.name,
            "version": self.version,
            "content_sha256": self.clean.identity,
            "corruption_seed": self.corruption_seed,
            "corruption_recipe": RECIPE_VERSION,
            "preprocessing": "uint8 / 255",
            **switches,
        }

    def samples(self, corruption: str, severity: int) -> Labelled:
        """The clean images under one corruption."""
        return Labelled(
            Corrupting(self, corruption, severity), self.clean.labels, self.clean.identity
        )

    def verified(self) -> bool | None:
        """Whether the files of the clean images match published checksums; None: not known."""
        return self.as_published

    def clean_samples(self) -> Labelled:
        """The clean images."""
        return self.clean

    def training_samples(self) -> Labelled:
        """The clean training images.

        Raises:
            ValueError: the data set was made without any.
        """
        if self.train is None:
            raise ValueError(f"{self.name} has no training data; give train=(images, labels)")
        if callable(self.train):
            return self.train()
        images, labels = self.train
        return Labelled(images, labels.numpy(), sha256(images, labels))


class Corrupting(Pixels):
    """The clean images of a set under one corruption.

    Args:
        data: whose images and switches are used.
        corruption: a name.
        severity: 1 to 5.
    """

    def __init__(self, data: CorruptedImages, corruption: str, severity: int) -> None:
        self.data, self.corruption, self.severity = data, corruption, severity

    def __len__(self) -> int:
        return len(self.data.clean.images)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 [n,3,H,W] on the device that corrupts; an image's number decides its draws."""
        ids = torch.from_numpy(indices)
        return corrupt(
            self.data.clean.images[ids].to(self.data.corrupt_on),
            self.corruption,
            self.severity,
            image_ids=ids,
            seed=self.data.corruption_seed,
            jpeg85=self.data.second_jpeg,
            texture_dir=self.data.frost_textures,
        )


def textures_sha256(folder: Path) -> str:
    """SHA-256 over the frost photographs.

    Raises:
        ValueError: one is not there, or does not decode.
    """
    digest = hashlib.sha256()
    for name in FILES:
        try:
            digest.update((folder / name).read_bytes())
            with Image.open(folder / name) as image:
                image.load()
        except (OSError, SyntaxError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be decoded"
            raise ValueError(
                f"frost_textures: {folder / name}: {reason}; expected {', '.join(FILES)} of the "
                "ImageNet-C scripts, or frost_textures=null for synthetic ones"
            ) from None
    return digest.hexdigest()
