"""Networks of torchvision for ImageNet, with weights of several publishers."""

from __future__ import annotations

from functools import partial

from torch import nn

from ctta.models.cards.published import (
    COTTA,
    CROP_256,
    DOEBLER,
    DRIVE,
    LIST_5000,
    Published,
    cropped,
    errors,
    imagenet,
    robustbench,
    robustbench_file,
)
from ctta.models.source import SourceError


def torchvision_network(name: str) -> nn.Module:
    """A network of torchvision without weights."""
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None)
    return network


IMAGENET: dict[str, Published] = {
    "resnet50": Published(
        partial(torchvision_network, "resnet50"),
        "torchvision/resnet50-0676ba61.pth",
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        imagenet(
            name="resnet50",
            weights_tag="torchvision resnet50 IMAGENET1K_V1 (RobustBench Standard_R50)",
            source="torchvision 0.29, models/resnet.py",
            licence="BSD-3-Clause",
            resize=256,
            clean_error_pct=23.87,
            source_errors=(
                *errors(DOEBLER, imagenet_c=82.0),
                *cropped(
                    CROP_256,
                    DOEBLER,
                    imagenet_r=63.8,
                    imagenet_sketch=75.9,
                    imagenet_d109=58.8,
                ),
                SourceError("imagenet_c", 82.4, COTTA, CROP_256, LIST_5000),
            ),
        ),
        sha256="0676ba61",
    ),
    "resnet50_augmix": Published(
        partial(torchvision_network, "resnet50"),
        robustbench_file("imagenet", "Hendrycks2020AugMix"),
        f"{DRIVE}1xRMj1GlO93tLoCMm0e5wEvZwqhIjxhoJ",
        imagenet(
            name="resnet50_augmix",
            **robustbench("imagenet", "Hendrycks2020AugMix"),
            resize=256,
            clean_error_pct=22.66,  # on the 5,000 images
        ),
    ),
    "resnet50_many": Published(
        partial(torchvision_network, "resnet50"),
        robustbench_file("imagenet", "Hendrycks2020Many"),
        f"{DRIVE}1kylueoLtYtxkpVzoOA1B6tqdbRl2xt9X",
        imagenet(
            name="resnet50_many",
            **robustbench("imagenet", "Hendrycks2020Many"),
            resize=256,
            clean_error_pct=23.14,  # on the 5,000 images
        ),
    ),
    "swin_b": Published(
        partial(torchvision_network, "swin_b"),
        "torchvision/swin_b-68c6b09e.pth",
        "https://download.pytorch.org/models/swin_b-68c6b09e.pth",
        imagenet(
            name="swin_b",
            weights_tag="torchvision swin_b IMAGENET1K_V1",
            source="torchvision 0.29, models/swin_transformer.py",
            licence="BSD-3-Clause",
            resize=238,
            interpolation="bicubic",
            clean_error_pct=16.418,
            source_errors=(
                *errors(DOEBLER, imagenet_c=64.0),
                *cropped(
                    "resize 238 bicubic, centre crop 224",
                    DOEBLER,
                    imagenet_r=54.2,
                    imagenet_sketch=68.4,
                    imagenet_d109=51.4,
                ),
            ),
        ),
        sha256="68c6b09e",
    ),
    "vit_b_16": Published(
        partial(torchvision_network, "vit_b_16"),
        "torchvision/vit_b_16-c867db91.pth",
        "https://download.pytorch.org/models/vit_b_16-c867db91.pth",
        imagenet(
            name="vit_b_16",
            weights_tag="torchvision vit_b_16 IMAGENET1K_V1",
            source="torchvision 0.29, models/vision_transformer.py",
            licence="BSD-3-Clause",
            resize=256,
            clean_error_pct=18.928,
            source_errors=(
                *errors(DOEBLER, imagenet_c=60.2),
                *cropped(
                    CROP_256,
                    DOEBLER,
                    imagenet_r=56.0,
                    imagenet_sketch=70.6,
                    imagenet_d109=53.6,
                ),
            ),
        ),
        sha256="c867db91",
    ),
}
