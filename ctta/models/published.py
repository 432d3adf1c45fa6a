"""Published source models from their files, checked against their cards."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ctta.models.cards import PUBLISHED, Published
from ctta.models.checkpoint import load_weights, read_weights
from ctta.models.source import ModelCard, WrappedModel, weights_hash
from ctta.places import cache_dir

log = logging.getLogger("ctta")
DIGITS = 64  # of a whole SHA-256; torchvision publishes eight of them

# Which list of classes the labels of a data set are from; one that is not here is not checked.
CLASSES_OF = {
    "digits_c": "digits",
    "cifar10": "cifar10",
    "cifar10_c": "cifar10",
    "cifar100": "cifar100",
    "cifar100_c": "cifar100",
    "domainnet126": "domainnet126",
    **{
        f"imagenet_{kind}": "imagenet"
        for kind in ("c", "3dcc", "r", "a", "v2", "sketch", "d", "d109")
    },
    "ccc": "imagenet",
}


class CardError(ValueError):
    """A model is not used as its card says."""


def published_model(
    *,
    name: str,
    weights: str | None = None,
    sha256: str | None = None,
    normalisation: Literal["published", "none"] = "published",
    strict: bool = True,
    data: Any = None,
    cache: Path | None = None,
) -> WrappedModel:
    """A published model from its file.

    Args:
        name: in `PUBLISHED`.
        weights: the file; None: its place in the cache.
        sha256: of the file, or its first digits; None: the published ones, where there are.
        normalisation: ``none`` leaves out what the publisher puts before the network.
        strict: refuse what differs from the card; False: warn, and mark the card.
        data: the data set that the model is for, checked against the card; None: not checked.
        cache: folder; None: ``CTTA_CACHE``, else ``~/.cache/ctta``.

    Raises:
        ValueError: an unknown name, no file, one that does not fit, or, if strict, weights,
            normalisation, resize, list of images or of classes that differ from the card.
    """
    if name not in PUBLISHED:
        raise ValueError(f"model.name: expected one of {', '.join(PUBLISHED)}, got {name!r}")
    if normalisation not in ("published", "none"):
        raise ValueError(f"model.normalisation: expected published or none, got {normalisation!r}")
    chosen = PUBLISHED[name]
    path = (
        Path(weights).expanduser() if weights else (cache or cache_dir()) / "models" / chosen.file
    )
    if not path.is_file():
        checksum = "no checksum is published"
        if chosen.sha256:
            checksum = f"SHA-256 {chosen.sha256}{'...' if len(chosen.sha256) < DIGITS else ''}"
        raise ValueError(
            f"model.weights: there is no file {path}; put {chosen.card.weights_tag} there, from "
            f"{chosen.url} ({checksum}), or type model.weights=FILE"
        )
    expected = sha256 or chosen.sha256
    normalised = normalisation == "published" and chosen.card.mean is not None
    return from_file(path, chosen, expected, normalised=normalised, strict=strict, data=data)


def from_file(
    path: Path,
    chosen: Published,
    expected: str | None,
    *,
    normalised: bool,
    strict: bool,
    data: Any,
) -> WrappedModel:
    """The network with the weights at ``path``, checked against its card.

    Args:
        path: of the file, which is there.
        chosen: the network and its card.
        expected: SHA-256 of the file, or its first digits; None: not checked.
        normalised: whether the images are normalised first.
        strict: see `published_model`, like ``data``.
        data: see there.

    Raises:
        ValueError: see `published_model`; of what differs from the card, a `CardError`.
    """
    name = chosen.card.name
    found = file_sha256(path)
    deviations = []
    if expected is not None and not found.startswith(expected.lower()):
        deviations.append(
            f"weights: expected a file with SHA-256 {expected}, got {found} in {path}"
        )
    with torch.device("meta"):
        module = chosen.make()
    try:
        beside = load_weights(module, read_weights(path), path)
    except ValueError as error:
        raise ValueError(f"model.weights: {error}; {name} is from {chosen.url}") from error
    assert not any(t.is_meta for t in (*module.parameters(), *module.buffers()))
    card = replace(chosen.card, file_sha256=found, verified=bool(expected) and not deviations)
    deviations += normalisation_deviations(card, beside)
    deviations += data_deviations(card, normalised, {} if data is None else data.identity)
    if strict and deviations:
        raise CardError(
            f"{name} is not used as published: {'; '.join(deviations)}; change that, or "
            "type model.strict=false for a run that is marked as no reproduction"
        )
    for deviation in deviations:
        log.warning("%s is not used as published: %s", name, deviation)
    model = WrappedModel(
        module,
        name=name,
        image_shape=card.image_shape,
        head=chosen.head,
        mean=card.mean if normalised else None,
        std=card.std if normalised else None,
    )
    model.card = replace(
        card,
        weights_sha256=weights_hash(model),
        mean=model.card.mean,
        std=model.card.std,
        deviations=tuple(deviations),
    )
    return model.eval()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def normalisation_deviations(card: ModelCard, beside: Mapping[str, Tensor]) -> list[str]:
    """What differs between the card's mean and std and those that lay beside the weights."""
    declared = {"mean": card.mean, "std": card.std}
    return [
        f"normalisation: expected {kind} {declared[kind]}, got {found.tolist()} in the file"
        for kind, found in beside.items()
        if declared[kind] is None or not torch.allclose(found, found.new_tensor(declared[kind]))
    ]


def data_deviations(card: ModelCard, normalised: bool, data: Mapping[str, Any]) -> list[str]:
    """What differs between a card and how its model is going to be used.

    Args:
        card: with the published errors, each of which names the conditions it was measured under.
        normalised: whether the model normalises the images.
        data: identity of the data set; of its keys ``id``, ``preprocessing``, ``list_sha256``,
            ``source_domain`` and ``classes_sha256`` those that are there are compared.
    """
    name = data.get("id", "")
    rows = [row for row in card.source_errors if row.data == name]
    found = []
    if normalised != (card.mean is not None) and all(r.normalised != normalised for r in rows):
        found.append(f"normalisation: expected mean {card.mean} and std {card.std}, got none")
    if "preprocessing" in data and CLASSES_OF.get(name) == card.classes:
        of_files = str(data["preprocessing"]).removesuffix("uint8 / 255").removesuffix(", ")
        of_files = of_files or "as stored"
        known = {row.preprocessing for row in rows} or {"as stored", card.preprocessing}
        if of_files not in known:
            found.append(f"resize: expected {' or '.join(sorted(known))}, got {of_files}")
    lists = {row.list_sha256 for row in rows if row.list_sha256}
    if lists and data.get("list_sha256") not in {*lists, None}:
        found.append(
            f"list of images: expected SHA-256 {' or '.join(sorted(lists))}, got "
            f"{data['list_sha256']}"
        )
    if card.source_domain is not None:
        source = data.get("source_domain", card.source_domain)
        if source != card.source_domain:
            found.append(f"source domain: expected {card.source_domain}, got {source}")
    classes = CLASSES_OF.get(name, card.classes)
    if classes != card.classes:
        found.append(f"classes: expected those of {card.classes}, got those of {classes}")
    elif card.classes_sha256 not in (None, data.get("classes_sha256", card.classes_sha256)):
        found.append(
            f"classes: expected a list with SHA-256 {card.classes_sha256}, got "
            f"{data['classes_sha256']}"
        )
    return found
