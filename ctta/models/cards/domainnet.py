"""AdaContrast's ResNet-50 for the 126 classes of DomainNet, one a source style."""

from __future__ import annotations

from functools import partial

from ctta.models.cards.published import IMAGENET_MEAN, IMAGENET_STD, Published, cropped
from ctta.models.domainnet_resnet import DomainNetResNet50
from ctta.models.source import ModelCard

# SHA-256 of the 126 names in AdaContrast's lists, one a line.
CLASSES_SHA256 = "8a44e7881ca12ba8b57ae589b626759f6430418351831a2f87a5f6ab3433a9b2"

DOMAINNET: dict[str, Published] = {
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
            classes_sha256=CLASSES_SHA256,
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
}
