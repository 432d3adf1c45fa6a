"""Late layers that a method leaves as they are (SAR, DeYO)."""

from __future__ import annotations

import logging

from ctta.models.source import SourceModel
from ctta.models.stages import within
from ctta.parts.arguments import one_of

log = logging.getLogger("ctta")

# Substrings of module names; mr-eggplant/SAR at 20f6e24, and for both methods
# mariodoebler/test-time-adaptation at 8b2ed63. The filter was made for timm's ViT; its `norm` has
# effect only behind such blocks: elsewhere the second repository's wrapper hides that name.
OFFICIAL_NAMES = ("layer4", "blocks.9", "blocks.10", "blocks.11")


def late_layers(model: SourceModel, variant: str) -> set[str]:
    """Names of the modules that are left out of training.

    Args:
        model: the source model.
        variant: ``paper``, the last of its stages; ``official``, those whose names the authors'
            filter has, and the `norm` behind them: ResNet's layer4, blocks 9 to 11 of timm's ViT.
            In torchvision's ViT and Swin it finds none, which the log then says.

    Raises:
        ValueError: an unknown variant.
    """
    names = [name for name, _ in model.named_modules()]
    last = model.stages[-1]
    if one_of("variant", variant, ("official", "paper")) == "paper":
        return {name for name in names if any(within(name, part) for part in last)}
    found = {name for name in names if any(official in name for official in OFFICIAL_NAMES)}
    if not found:
        log.info(
            "the official filter (%s) finds no layer in %s: all normalisation layers are trained; "
            "method.variant=paper leaves out the last stage (%s)",
            ", ".join(OFFICIAL_NAMES),
            model.card.name,
            ", ".join(last),
        )
        return found
    behind = [part for part in last if part.rpartition(".")[2] == "norm"]
    return found | {name for name in names if any(within(name, part) for part in behind)}
