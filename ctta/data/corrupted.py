"""Any clean images, corrupted on the fly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.data.corruptions import CORRUPTIONS, RECIPE_VERSION, VALIDATION_CORRUPTIONS, corrupt
from ctta.data.source import SourceData

SEVERITIES = (1, 2, 3, 4, 5)


class CorruptedImages:
    """A clean test set whose domains are its corruptions.

    The same image has the same pixels under a corruption in any batch and any order.

    Args:
        images: uint8 [N,3,H,W].
        labels: int64 [N], from 0.
        name: of the data set, as it appears in records.
        version: of its content.
        severity: 1 to 5, what a stream shows unless its schedule says otherwise.
        corruptions: the domains in order; None: the 15 of the benchmark.
        corruption_seed: of the corruptions' draws; another one is another data set.
        train: training images and labels for methods with a preparation, or None.

    Raises:
        ValueError: a shape, dtype, severity, seed or corruption that does not fit.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        name: str,
        version: int = 1,
        severity: int = 5,
        corruptions: Sequence[str] | None = None,
        corruption_seed: int = 0,
        train: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images: expected uint8 [N,3,H,W], got {images.dtype} {list(images.shape)}"
            )
        if labels.shape != images.shape[:1] or len(labels) == 0 or int(labels.min()) < 0:
            raise ValueError(
                f"labels: expected {len(images)} class numbers from 0, got {list(labels.shape)}"
            )
        if severity not in SEVERITIES:
            raise ValueError(f"severity: expected 1, 2, 3, 4 or 5, got {severity!r}")
        if corruption_seed < 0:
            raise ValueError(f"corruption_seed: expected at least 0, got {corruption_seed}")
        chosen = CORRUPTIONS if corruptions is None else tuple(corruptions)
        known = CORRUPTIONS + VALIDATION_CORRUPTIONS
        for corruption in chosen:
            if corruption not in known:
                raise ValueError(
                    f"corruptions: unknown {corruption!r}; choose from {', '.join(known)}"
                )
        if not chosen or len(set(chosen)) != len(chosen):
            raise ValueError(f"corruptions: expected different names, got {list(chosen)}")
        self.clean, self.targets = images, labels
        self.name, self.version = name, version
        self.severity, self.corruptions, self.corruption_seed = severity, chosen, corruption_seed
        self.train = train

    @property
    def identity(self) -> dict[str, Any]:
        """What makes this data set this one; part of a stream's protocol."""
        return {
            "id": self.name,
            "version": self.version,
            "content_sha256": sha256(self.clean, self.targets),
            "corruption_seed": self.corruption_seed,
            "corruption_recipe": RECIPE_VERSION,
            "preprocessing": "uint8 / 255",
        }

    def labels(self, corruption: str, severity: int) -> NDArray[np.int64]:
        """Class numbers [N]; the same for every domain."""
        return np.asarray(self.targets.numpy(), dtype=np.int64)

    def images(self, corruption: str, severity: int, indices: NDArray[np.int64]) -> Tensor:
        """float32 [n,3,H,W] in [0,1]: the images ``indices`` of one domain."""
        ids = torch.from_numpy(indices)
        pixels = corrupt(
            self.clean[ids], corruption, severity, image_ids=ids, seed=self.corruption_seed
        )
        return pixels.float() / 255

    def clean_test(self) -> tuple[Tensor, Tensor]:
        """Clean test images float32 [N,3,H,W] and labels [N], for forgetting."""
        return self.clean.float() / 255, self.targets

    def source(self) -> SourceData:
        """The training data.

        Raises:
            ValueError: the data set was made without any.
        """
        if self.train is None:
            raise ValueError(f"{self.name} has no training data; give train=(images, labels)")
        images, labels = self.train
        return SourceData(images.float() / 255, labels, sha256(images, labels))


def sha256(*tensors: Tensor) -> str:
    """SHA-256 over shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
