"""ImageNet-C and ImageNet-3DCC: folders of JPEG files by corruption, severity and class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ctta.data import catalogue
from ctta.data.base import DataSet, Labelled, checked_severity, domains
from ctta.data.clean import imagenet_test, imagenet_train
from ctta.data.corruptions import CORRUPTIONS, VALIDATION_CORRUPTIONS
from ctta.data.decoding import ImageFiles, View, names_sha256
from ctta.data.folders import imagenet_files, imagenet_list
from ctta.data.stamp import verified

Subset = Literal["robustbench", "all", "own"]
Preprocessing = Literal["as_stored", "resize256_crop224"]
VIEWS = {"as_stored": View(), "resize256_crop224": View(resize=256, crop=224)}


class ImageNetC(DataSet):
    """ImageNet-C.

    Args:
        root: folder of all data sets.
        subset: ``robustbench`` (the 5,000 images of its list, in the list's order), ``all`` (the
            50,000, by class and name) or ``own`` (those of ``list_file``).
        list_file: the list; None: where the catalogue puts RobustBench's.
        preprocessing: ``as_stored`` (mariodoebler/test-time-adaptation at 8b2ed63) or
            ``resize256_crop224``: 224 -> 256 -> centre 224 once more, as CoTTA, PETAL and ViDA
            read the files.
        severity: 1 to 5, what a stream shows unless its schedule says otherwise.
        corruptions: the domains in order; None: the 15 of the benchmark.
        n_images: the first n of the subset; None: all of it.
        workers: threads that decode.

    Raises:
        ValueError: a value out of range, or a file that is missing or not as published.
    """

    name = "imagenet_c"
    n_classes = 1000
    benchmark: Sequence[str] = CORRUPTIONS
    validation: Sequence[str] = VALIDATION_CORRUPTIONS

    def __init__(
        self,
        *,
        root: str | Path,
        subset: Subset = "robustbench",
        list_file: str | Path | None = None,
        preprocessing: Preprocessing = "as_stored",
        severity: int = 5,
        corruptions: Sequence[str] | None = None,
        n_images: int | None = None,
        workers: int = 2,
    ) -> None:
        if subset not in get_args(Subset):
            raise ValueError(f"subset: expected {' or '.join(get_args(Subset))}, got {subset!r}")
        if preprocessing not in VIEWS:
            raise ValueError(f"preprocessing: expected {' or '.join(VIEWS)}, got {preprocessing!r}")
        if subset == "own" and list_file is None:
            raise ValueError("list_file: expected a list for subset=own; type dataset.list_file=")
        self.severity = checked_severity(severity)
        self.corruptions = domains(corruptions, self.benchmark, self.validation)
        self.root, self.subset, self.n_images = Path(root).expanduser(), subset, n_images
        self.list_file = None if list_file is None else Path(list_file).expanduser()
        self.view, self.workers = VIEWS[preprocessing], workers
        self.folder = catalogue.folder(self.name, root)
        self.remedy = catalogue.entry(self.name).remedy()
        if n_images is not None and not 1 <= n_images <= len(self.listed[0]):
            raise ValueError(f"n_images: expected 1 to {len(self.listed[0])}, got {n_images}")

    @cached_property
    def listed(self) -> tuple[list[str], NDArray[np.int64]]:
        """Names ``<wnid>/<image>`` and labels of the subset."""
        if self.subset == "all":
            first = self.severity_folder(self.corruptions[0], self.severity)
            return imagenet_files(first, self.remedy)
        if self.subset == "own":
            assert self.list_file is not None
            return imagenet_list(self.list_file, None)
        default = self.root / "imagenet_ids" / "imagenet_test_image_ids.txt"
        return imagenet_list(self.list_file or default, catalogue.IMAGENET_5000_SHA256)

    @cached_property
    def chosen(self) -> tuple[list[str], NDArray[np.int64]]:
        """The first ``n_images`` of `listed`."""
        names, labels = self.listed
        return names[: self.n_images], labels[: self.n_images]

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, the list's hash and the preprocessing."""
        return {
            "id": self.name,
            "version": self.version,
            "list_sha256": names_sha256(*self.chosen),
            "preprocessing": f"{self.view}, uint8 / 255",
        }

    def severity_folder(self, corruption: str, severity: int) -> Path:
        """``<corruption>/<severity>``, at the top or one level down.

        Raises:
            ValueError: neither is there.
        """
        below = f"{corruption}/{checked_severity(severity)}"
        for folder in (self.folder / below, *sorted(self.folder.glob(f"*/{below}"))):
            if folder.is_dir():
                return folder
        raise ValueError(f"{self.folder / below}: no such folder; {self.remedy}")

    def samples(self, corruption: str, severity: int) -> Labelled:
        """The subset's images of one domain; all of them must be there."""
        names, labels = self.chosen
        folder = self.severity_folder(corruption, severity)
        files = ImageFiles(folder, names, view=self.view, remedy=self.remedy, workers=self.workers)
        files.require_all()  # an error now, and not in the middle of the stream
        return Labelled(files, labels, f"{self.name}/{corruption}-{severity}")

    def verified(self) -> bool | None:
        """See `ctta.data.stamp.verified`."""
        return verified(self.name, self.root)

    def clean_samples(self) -> Labelled | None:
        """The subset's images of the validation set; None where that is not there."""
        return imagenet_test(self.root, workers=self.workers, chosen=self.chosen)

    def training_samples(self) -> Labelled:
        """ImageNet's training set."""
        return imagenet_train(self.root, workers=self.workers)


class ImageNet3DCC(ImageNetC):
    """ImageNet-3DCC, twelve corruptions made with depth; see `ImageNetC`."""

    name = "imagenet_3dcc"
    benchmark = catalogue.THREE_D_CORRUPTIONS
    validation = ()
