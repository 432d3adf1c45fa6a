"""Source models whose weights travel with the package: what is measured on them depends on no
machine that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ctta.assets import asset_dir
from ctta.models.cards import Published
from ctta.models.published import from_file
from ctta.models.source import ModelCard, SourceError, WrappedModel
from ctta.models.zoo import ARCHITECTURES


def digits_cnn() -> nn.Module:
    """The architecture of ``model=digits_cnn``; its card needs it off the meta device."""
    with torch.device("cpu"):
        return ARCHITECTURES["cnn"][0]()


OURS = "this repository, leaderboard/published/digits_c.json"
SHIPPED: dict[str, Published] = {
    "digits_cnn": Published(
        digits_cnn,
        "digits_cnn.safetensors",
        "leaderboard/published/weights",
        ModelCard(
            name="digits_cnn_shipped",
            image_shape=(3, 32, 32),
            n_classes=10,
            weights_sha256="",
            weights_tag="digits_cnn, 2026-11",
            source="ctta.models.zoo.digits_model, recipe version 1",
            licence="MIT",
            classes="digits",
            source_errors=(SourceError("digits_c", 28.96, OURS),),
        ),
        sha256="21651bd04b9487ec793722f86470ba707b04f5a33ab83868c645ebf8bfa0838f",
        head="fc",
    ),
}


def shipped_model(
    *, name: str, weights: str | None = None, strict: bool = True, data: Any = None
) -> WrappedModel:
    """A model from the weights that come with the package.

    Args:
        name: in `SHIPPED`.
        weights: another file, which is refused unless it is the same; None: the shipped one.
        strict: refuse what differs from the card; False: warn, and mark the card.
        data: the data set that the model is for, checked against the card; None: not checked.

    Raises:
        ValueError: an unknown name, a file that does not fit, or, if strict, what differs from the
            card.
    """
    if name not in SHIPPED:
        raise ValueError(f"model.name: expected one of {', '.join(SHIPPED)}, got {name!r}")
    chosen = SHIPPED[name]
    own = asset_dir("published") / "weights" / chosen.file
    path = Path(weights).expanduser() if weights else own
    if not path.is_file():
        raise ValueError(f"model.weights: there is no file {path}; leave model.weights out")
    return from_file(path, chosen, chosen.sha256, normalised=False, strict=strict, data=data)
