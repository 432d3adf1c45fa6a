"""Vision transformers of timm, for ImageNet and, fine-tuned by ViDA, for CIFAR."""

from __future__ import annotations

from functools import partial

from torch import nn

from ctta.models.cards.published import (
    CROP_256,
    DRIVE,
    HALF,
    LIST_5000,
    Published,
    errors,
    imagenet,
)
from ctta.models.source import ModelCard, SourceError


def timm_network(name: str, n_classes: int) -> nn.Module:
    """A network of timm without weights."""
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes)
    return network


TIMM_VIT: dict[str, Published] = {
    **{
        f"vit_base_patch16_{side}.augreg_in21k_ft_in1k": Published(
            partial(timm_network, f"vit_base_patch16_{side}", 1000),
            f"timm/vit_base_patch16_{side}.augreg_in21k_ft_in1k.safetensors",
            f"https://huggingface.co/timm/vit_base_patch16_{side}.augreg_in21k_ft_in1k "
            "(model.safetensors)",
            imagenet(
                side,
                name=f"vit_base_patch16_{side}.augreg_in21k_ft_in1k",
                weights_tag=f"timm vit_base_patch16_{side}.augreg_in21k_ft_in1k",
                source="timm 1.0.31, models/vision_transformer.py",
                licence="Apache-2.0",
                mean=HALF,
                std=HALF,
                resize=resize,
                interpolation="bicubic",
                source_errors=found,
            ),
        )
        for side, resize, found in (
            (
                224,
                248,  # crop_pct 0.9
                (
                    *errors("mr-eggplant/FOA at 004b02d, README", imagenet_c=44.5),
                    SourceError(
                        "imagenet_c",
                        55.8,
                        "quoted in KFF, table 1, for the loader of ViDA",
                        CROP_256,
                        LIST_5000,
                        normalised=False,
                    ),
                ),
            ),
            (384, 384, ()),
        )
    },
    **{
        f"vit_base_patch16_384_cifar{n_classes}": Published(
            partial(timm_network, "vit_base_patch16_384", n_classes),
            f"vida/vit_base_patch16_384_cifar{n_classes}.t7",
            DRIVE + drive,
            ModelCard(
                name=f"vit_base_patch16_384_cifar{n_classes}",
                image_shape=(3, 384, 384),
                n_classes=n_classes,
                weights_sha256="",
                weights_tag=f"ViDA's ViT-B/16-384 for CIFAR-{n_classes}",
                source="Yangsenqiao/vida at c26b0db, README",
                licence="MIT",
                resize=384,  # bilinear, from 32
                crop=384,
                classes=f"cifar{n_classes}",
                source_errors=(
                    SourceError(
                        f"cifar{n_classes}_c",
                        error,
                        "quoted in Diffusion-Calibrated CTTA, AAAI 2026, tables 1 and 2",
                        "resize 384 bilinear, as stored",
                        normalised=False,
                    ),
                ),
            ),
        )
        for n_classes, drive, error in (
            (10, "1pAoz4Wwos74DjWPQ5d-6ntyjQkmp9FPE", 28.2),
            (100, "1yRekkpkIdwX_LFsOh4Ba9ndaECnY-UC-", 35.4),
        )
    },
}
