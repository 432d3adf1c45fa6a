"""DomainNet-126: four styles of 126 classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ctta.data import catalogue
from ctta.data.base import DataSet, Labelled, domains
from ctta.data.decoding import View
from ctta.data.folders import listed_images
from ctta.data.stamp import verified

Style = Literal["clipart", "painting", "real", "sketch"]
# The order of the other three by the source model's (mariodoebler/test-time-adaptation at 8b2ed63).
SEQUENCES: dict[str, tuple[str, ...]] = {
    "real": ("clipart", "painting", "sketch"),
    "clipart": ("sketch", "real", "painting"),
    "painting": ("real", "sketch", "clipart"),
    "sketch": ("painting", "clipart", "real"),
}
VIEW = View(resize=(256, 256), crop=224)


class DomainNet126(DataSet):
    """The images of AdaContrast's lists, one list a style.

    Args:
        root: folder of all data sets.
        source_domain: the style that the source model was trained on.
        corruptions: the domains in order; None: the other three in the published order.
        n_images: the first n of each list; None: all.
        workers: threads that decode.

    Raises:
        ValueError: a value out of range, or a list or an image that is missing.
    """

    name = "domainnet126"
    n_classes = 126

    def __init__(
        self,
        *,
        root: str | Path,
        source_domain: Style = "real",
        corruptions: Sequence[str] | None = None,
        n_images: int | None = None,
        workers: int = 2,
    ) -> None:
        if source_domain not in SEQUENCES:
            raise ValueError(
                f"source_domain: expected {' or '.join(SEQUENCES)}, got {source_domain!r}"
            )
        if n_images is not None and n_images < 1:
            raise ValueError(f"n_images: expected at least 1, got {n_images}")
        self.source_domain, self.n_images, self.workers = source_domain, n_images, workers
        self.corruptions = domains(corruptions, SEQUENCES[source_domain], (source_domain,))
        self.root = Path(root).expanduser()
        self.folder = catalogue.folder(self.name, root)
        self.remedy = catalogue.entry(self.name).remedy()

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version, hashes of the lists, the preprocessing."""
        return {
            "id": self.name,
            "version": self.version,
            "source_domain": self.source_domain,
            "lists_sha256": {d: self.domain(d, 0).identity for d in self.corruptions},
            "preprocessing": f"{VIEW}, uint8 / 255",
        }

    def samples(self, corruption: str, severity: int) -> Labelled:
        """The images of one list."""
        return self.listed(corruption, self.n_images)

    def verified(self) -> bool | None:
        """See `ctta.data.stamp.verified`."""
        return verified(self.name, self.root)

    def training_samples(self) -> Labelled:
        """All images of the source model's style; the lists hold no split."""
        return self.listed(self.source_domain, None)

    def listed(self, domain: str, n: int | None) -> Labelled:
        """The first ``n`` images of a list; all of them must be there."""
        return listed_images(
            self.folder,
            self.folder / f"{domain}_list.txt",
            self.n_classes,
            n_images=n,
            view=VIEW,
            remedy=self.remedy,
            workers=self.workers,
        )
