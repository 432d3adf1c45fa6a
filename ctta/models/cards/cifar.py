"""Convolutional networks for CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from ctta.models.cards.published import (
    COTTA,
    DOEBLER,
    DRIVE,
    HALF,
    Published,
    errors,
    robustbench,
    robustbench_file,
)
from ctta.models.resnet_gn import ResNetGN
from ctta.models.resnext import ResNeXt
from ctta.models.source import ModelCard
from ctta.models.wide_resnet import WideResNet


def cifar(n_classes: int, **facts: Any) -> ModelCard:
    """Card of a model for CIFAR-10 or CIFAR-100: images as they are, 32x32."""
    return ModelCard(
        image_shape=(3, 32, 32),
        n_classes=n_classes,
        weights_sha256="",
        crop=32,
        classes=f"cifar{n_classes}",
        **facts,
    )


def wide_resnet(depth: int, width: int, n_classes: int) -> Callable[[], nn.Module]:
    """Maker of a `WideResNet`."""
    return partial(WideResNet, depth=depth, width=width, num_classes=n_classes)


def resnext(n_classes: int) -> Callable[[], nn.Module]:
    """Maker of AugMix's ResNeXt-29 (4x32)."""
    return partial(ResNeXt, depth=29, cardinality=4, base_width=32, num_classes=n_classes)


def augmix(name: str, make: Callable[[], nn.Module], drive: str, card: ModelCard) -> Published:
    """A CIFAR model of AugMix (Hendrycks et al., ICLR 2020); images go to [-1, 1] first."""
    data = str(card.classes)
    return Published(make, robustbench_file(data, name), DRIVE + drive, card)


CIFAR: dict[str, Published] = {
    "wrn_28_10": Published(
        wide_resnet(28, 10, 10),
        robustbench_file("cifar10", "Standard"),
        f"{DRIVE}1t98aEuzeTL8P7Kpd5DIrCoCL21BNZUhC (natural.pt.tar)",
        cifar(
            10,
            name="wrn_28_10",
            **robustbench("cifar10", "Standard"),
            clean_error_pct=5.22,
            source_errors=errors(COTTA, cifar10_c=43.5),
        ),
    ),
    "wrn_40_2_augmix": augmix(
        "Hendrycks2020AugMix_WRN",
        wide_resnet(40, 2, 10),
        "1wy7gSRsUZzCzj8QhmTbcnwmES_2kkNph",
        cifar(
            10,
            name="wrn_40_2_augmix",
            **robustbench("cifar10", "Hendrycks2020AugMix_WRN"),
            mean=HALF,
            std=HALF,
            clean_error_pct=4.92,
            source_errors=errors("DequanWang/tent at e9e926a, README", cifar10_c=18.3),
        ),
    ),
    "wrn_40_2_augmix_cifar100": augmix(
        "Hendrycks2020AugMix_WRN",
        wide_resnet(40, 2, 100),
        "1XpFFdCdU9LcDtcyNfo6_BV1RZHKKkBVE",
        cifar(
            100,
            name="wrn_40_2_augmix_cifar100",
            **robustbench("cifar100", "Hendrycks2020AugMix_WRN"),
            mean=HALF,
            std=HALF,
            clean_error_pct=23.72,
        ),
    ),
    "resnext_29_augmix": augmix(
        "Hendrycks2020AugMix_ResNeXt",
        resnext(10),
        "1uGP3nZbL3LC160kOsxwkkt6tDd4qbZT1",
        cifar(
            10,
            name="resnext_29_augmix",
            **robustbench("cifar10", "Hendrycks2020AugMix_ResNeXt"),
            mean=HALF,
            std=HALF,
            clean_error_pct=4.17,
        ),
    ),
    "resnext_29_augmix_cifar100": augmix(
        "Hendrycks2020AugMix_ResNeXt",
        resnext(100),
        "1ocnHbvDdOBLvgNr6K7vEYL08hUdkD1Rv",
        cifar(
            100,
            name="resnext_29_augmix_cifar100",
            **robustbench("cifar100", "Hendrycks2020AugMix_ResNeXt"),
            mean=HALF,
            std=HALF,
            clean_error_pct=21.10,
            source_errors=errors(COTTA, cifar100_c=46.4),
        ),
    ),
    "resnet_26_gn": Published(
        partial(ResNetGN, depth=26, n_groups=8, num_classes=10),
        "memo/resnet26_gn.pth",
        "https://github.com/zhangmarvin/memo/blob/228b290/cifar-10-exps/results/cifar10_rn26_gn/"
        "ckpt.pth",
        cifar(
            10,
            name="resnet_26_gn",
            weights_tag="MEMO ResNet-26 GN (ckpt.pth)",
            source="zhangmarvin/memo at 228b290, cifar-10-exps/results/cifar10_rn26_gn/ckpt.pth",
            licence="MIT",
            mean=HALF,
            std=HALF,
            clean_error_pct=9.17,  # err_cls in the file
            source_errors=errors(DOEBLER, cifar10_c=32.7),
        ),
        sha256="272f183ab9ba6624480da6e7779ccc0ccda647b06b3c3134a1f670b142f36403",
    ),
}
