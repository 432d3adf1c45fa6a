"""What is known of published source models: file, network, licence, preprocessing, errors.

Facts are copied from the pages that each entry names. Clean errors are those of the publisher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from ctta.models.domainnet_resnet import DomainNetResNet50
from ctta.models.resnet_gn import ResNetGN
from ctta.models.resnext import ResNeXt
from ctta.models.source import ModelCard, SourceError
from ctta.models.wide_resnet import WideResNet

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_256 = "resize 256 bilinear, centre crop 224"
# SHA-256 over names <wnid>/<image> and labels: of RobustBench's 5,000 images in the order of
# imagenet_test_image_ids.txt, and of all 50,000 by class and name.
LIST_5000 = "9b88e5125ad15ae964208ebad9bda64711911c1b31a19e9bd8e520dfa27846af"
LIST_ALL = "64eeb12d9446ccc598b10d497824bbb96d41735bc48382abfcb32c39fa29196d"
# SHA-256 of the 1,000 WordNet ids, and of the 126 names in AdaContrast's lists, joined likewise.
WNIDS = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
DOMAINNET = "8a44e7881ca12ba8b57ae589b626759f6430418351831a2f87a5f6ab3433a9b2"
COTTA = "CoTTA, CVPR 2022, table 2"
DOEBLER = "mariodoebler/test-time-adaptation at ef3a2a6, classification/benchmark.md"
ROBUSTBENCH = "RobustBench/robustbench at 78fcc9e"
DRIVE = "https://drive.google.com/uc?id="


@dataclass(frozen=True)
class Published:
    """A network and its file of weights.

    Attributes:
        make: the network, without weights.
        file: where it lies, relative to the models in the cache.
        url: where it is published.
        card: what is known of it; hashes are those of what is loaded.
        sha256: of the file or its first digits, as published; None: no checksum is published.
        head: name of the last layer; None: the last linear one.
    """

    make: Callable[[], nn.Module]
    file: str
    url: str
    card: ModelCard
    sha256: str | None = None
    head: str | None = None


# --- networks ----------------------------------------------------------------------------------


def torchvision_network(name: str) -> nn.Module:
    """A network of torchvision without weights."""
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None)
    return network


def timm_network(name: str, n_classes: int) -> nn.Module:
    """A network of timm without weights."""
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes)
    return network


# --- cards -------------------------------------------------------------------------------------


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


def imagenet(side: int = 224, **facts: Any) -> ModelCard:
    """Card of a model for the 1,000 classes of ImageNet, in the order of their WordNet ids."""
    normal = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return ModelCard(
        image_shape=(3, side, side),
        n_classes=1000,
        weights_sha256="",
        crop=side,
        classes="imagenet",
        classes_sha256=WNIDS,
        **{**normal, **facts},
    )


def errors(source: str, **by_data: float) -> tuple[SourceError, ...]:
    """Published errors on files as they are stored; ImageNet-C's hold for its two lists."""
    lists = {"imagenet_c": (LIST_5000, LIST_ALL)}
    return tuple(
        SourceError(data, error, source, list_sha256=images)
        for data, error in by_data.items()
        for images in lists.get(data, (None,))
    )


def cropped(preprocessing: str, source: str, **by_data: float) -> tuple[SourceError, ...]:
    """Published errors on photographs, which are resized and cropped first."""
    return tuple(SourceError(data, error, source, preprocessing) for data, error in by_data.items())


def robustbench(data: str, name: str) -> dict[str, Any]:
    """File, tag, source and licence of an entry of RobustBench."""
    return {
        "weights_tag": f"RobustBench {data} {name}",
        "source": f"{ROBUSTBENCH}, robustbench/model_zoo/{data}.py",
        "licence": "MIT",
    }


def robustbench_file(data: str, name: str) -> str:
    """Where RobustBench puts a file, below a folder of its own."""
    return f"robustbench/{data}/corruptions/{name}.pt"


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


PUBLISHED: dict[str, Published] = {
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
    **{
        f"resnet50_domainnet126_{domain}": Published(
            partial(DomainNetResNet50, num_classes=126, bottleneck=256),
            f"adacontrast/best_{domain}_2020.pth",
            "https://drive.google.com/drive/folders/1OOSzrl6kzxIlEhNAK168dPXJcHwJ1A2X",
            ModelCard(
                name=f"resnet50_domainnet126_{domain}",
                image_shape=(3, 224, 224),
                n_classes=126,
                weights_sha256="",
                weights_tag=f"AdaContrast best_{domain}_2020",
                source="DianCh/AdaContrast at c3c8b88, readme.md",
                licence="none stated",
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
                resize=(256, 256),
                crop=224,
                classes="domainnet126",
                classes_sha256=DOMAINNET,
                source_domain=domain,
                source_errors=found,
            ),
            head="fc",
        )
        for domain, found in (
            (
                "real",
                cropped(
                    "resize (256, 256) bilinear, centre crop 224",
                    "hthieu166/petta at 5b4de7f, README, over 20 visits",
                    domainnet126=45.3,
                ),
            ),
            ("clipart", ()),
            ("painting", ()),
            ("sketch", ()),
        )
    },
}
