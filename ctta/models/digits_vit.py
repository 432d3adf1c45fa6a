"""The small vision transformer for the embedded data.

A module of its own: importing timm imports wandb and much else that a run of the CNN does not need.
"""

from __future__ import annotations

from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ctta.models.source import ModelCard, SourceModel, weights_hash
from ctta.models.stages import stages_of


class TinyViT(SourceModel, VisionTransformer):  # type: ignore[misc]
    """timm's vision transformer, pre-norm with a class token; state names are timm's.

    Args:
        arguments: those of ``timm.models.vision_transformer.VisionTransformer``.
    """

    def __init__(self, **arguments: Any) -> None:
        VisionTransformer.__init__(self, **arguments)
        vit: Any = self  # timm's attributes are not typed
        self.stages = stages_of(self, "head")
        shape = (vit.patch_embed.proj.in_channels, *vit.patch_embed.img_size)
        self.card = ModelCard("tiny-vit", shape, vit.num_classes, weights_hash(self))

    def features(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,D]: the normalised class token."""
        vit: Any = self
        tokens: Tensor = vit.forward_head(vit.forward_features(x), pre_logits=True)
        return tokens
