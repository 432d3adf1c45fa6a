"""What all data sets with random access have in common."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.data.images import Floats, Images
from ctta.data.source import SourceData

log = logging.getLogger("ctta")
SEVERITIES = (1, 2, 3, 4, 5)
NO_SEVERITY = 0


@dataclass(frozen=True)
class Labelled:
    """Images with their labels.

    Attributes:
        images: uint8 [N,3,H,W], a tensor or files that are read when asked for.
        labels: int64 [N], from 0.
        identity: SHA-256 of what makes them these ones.
    """

    images: Images
    labels: NDArray[np.int64]
    identity: str


class LabelledData(ABC):
    """What every data set has: a name, labels of some classes, clean and training images.

    Attributes:
        name: as it appears in records.
        version: of how it is read; rises with any change that moves a pixel or a label.
        n_classes: of the labels.
        classes: which of a model's outputs the labels stand for, in their order; None: all.
        resize: side that all images are resized to when they are asked for; None: as they are.
    """

    name: str
    version: int = 1
    n_classes: int
    classes: Sequence[int] | None = None
    resize: int | None = None

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What makes this data set this one, as JSON-able values; part of a stream's protocol."""

    def verified(self) -> bool | None:
        """Whether its files match published checksums (`ctta data verify`); None: not known."""
        return None

    def clean_samples(self) -> Labelled | None:
        """The clean test images; None where the set has none."""
        return None

    def training_samples(self) -> Labelled:
        """The clean training images.

        Raises:
            ValueError: the set has none.
        """
        raise ValueError(f"{self.name} has no training data; take a method that needs none")

    def clean_test(self) -> tuple[Images, Tensor] | None:
        """Clean test images, float32 [N,3,H,W] when asked for, and labels [N], for forgetting."""
        return self._clean

    @cached_property
    def _clean(self) -> tuple[Images, Tensor] | None:
        clean = self.clean_samples()
        if clean is None:
            return None
        return Floats(clean.images, self.resize), torch.from_numpy(clean.labels)

    @cached_property
    def _source(self) -> SourceData:
        train = self.training_samples()
        identity = train.identity if self.resize is None else f"{train.identity}, {self.resize}"
        images = Floats(train.images, self.resize)
        return SourceData(images, torch.from_numpy(train.labels), identity)

    def source(self) -> SourceData:
        """The training data.

        Raises:
            ValueError: the data set has none, or it is not there.
        """
        return self._source


class DataSet(LabelledData):
    """Labelled images by (domain, sample); a domain is a corruption at a severity.

    Attributes:
        corruptions: the domains, in the order of the streams.
        severity: what a stream shows unless its schedule says otherwise; 0: the set has none.
    """

    corruptions: Sequence[str]
    severity: int = NO_SEVERITY

    @abstractmethod
    def samples(self, corruption: str, severity: int) -> Labelled:
        """One domain."""

    def domain(self, corruption: str, severity: int) -> Labelled:
        """`samples`, opened once.

        Raises:
            ValueError: a severity that the set does not have, or files that do not fit.
        """
        if self.severity == NO_SEVERITY and severity != NO_SEVERITY:
            raise ValueError(
                f"{self.name} has no severities; take a stream without them, such as "
                "stream=continual"
            )
        key = corruption, severity
        if key not in self._opened:
            self._opened[key] = self.samples(corruption, severity)
        return self._opened[key]

    @cached_property
    def _opened(self) -> dict[tuple[str, int], Labelled]:
        return {}

    def labels(self, corruption: str, severity: int) -> NDArray[np.int64]:
        """Class numbers [N] of one domain."""
        return self.domain(corruption, severity).labels

    def images(self, corruption: str, severity: int, indices: NDArray[np.int64]) -> Tensor:
        """float32 [n,3,H,W] in [0,1]: the images ``indices`` of one domain."""
        images = Floats(self.domain(corruption, severity).images, self.resize)
        return images[torch.from_numpy(indices)]


def domains(
    chosen: Sequence[str] | None, default: Sequence[str], extra: Sequence[str] = ()
) -> tuple[str, ...]:
    """The domains that a configuration names; None: the default ones.

    Raises:
        ValueError: a name in neither ``default`` nor ``extra``, one given twice, or none.
    """
    if chosen is None:
        return tuple(default)
    for name in chosen:
        if name not in (*default, *extra):
            raise ValueError(
                f"corruptions: unknown {name!r}; choose from {', '.join((*default, *extra))}"
            )
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"corruptions: expected different names, got {list(chosen)}")
    return tuple(chosen)


def checked_severity(severity: int) -> int:
    """``severity`` if it is one.

    Raises:
        ValueError: it is none.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity: expected 1, 2, 3, 4 or 5, got {severity!r}")
    return severity


def checked_labels(
    labels: NDArray[Any], n_classes: int, place: str | Path, remedy: str
) -> NDArray[np.int64]:
    """``labels`` as int64.

    Raises:
        ValueError: one is not from 0 to ``n_classes`` - 1; the message names ``place``.
    """
    (wrong,) = np.nonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise ValueError(
            f"{place}: expected labels from 0 to {n_classes - 1}, got {labels[wrong[0]]} for "
            f"sample {wrong[0]}; {remedy}"
        )
    return labels.astype(np.int64)


def sha256(*tensors: Tensor) -> str:
    """SHA-256 over shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
