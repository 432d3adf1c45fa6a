"""Stages of real networks, and the layers that adapters go beside."""

from collections import OrderedDict

import pytest
import timm
import torch
import torchvision
from torch import nn

from ctta.models import zoo
from ctta.models.cards import PUBLISHED
from ctta.models.digits import TinyCNN
from ctta.models.digits_vit import TinyViT
from ctta.models.source import WrappedModel
from ctta.models.stages import stages_of
from ctta.testing import tiny_cnn, tiny_vit


def torchvision_model(name):
    return zoo.torchvision_model(name=name, weights="IMAGENET1K_V1", pretrained=False)


def blocks(*numbers, of="blocks."):
    return [f"{of}{i}" for i in numbers]


STAGES = {
    "resnet18": [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]],
    "resnet50": [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]],
    "wrn_28_10": [["conv1"], ["block1"], ["block2"], ["block3", "bn1"]],
    "wrn_40_2_augmix": [["conv1"], ["block1"], ["block2"], ["block3", "bn1"]],
    "resnext_29_augmix": [["conv_1_3x3", "bn_1"], ["stage_1"], ["stage_2"], ["stage_3"]],
    "resnet_26_gn": [["conv1"], ["layer1"], ["layer2"], ["layer3", "bn"]],
    "resnet50_domainnet126_real": [
        ["encoder.0.conv1", "encoder.0.bn1"],
        *([f"encoder.0.layer{i}"] for i in (1, 2, 3)),
        ["encoder.0.layer4", "encoder.0.fc", "encoder.1"],
    ],
    "vit_base_patch16_384_cifar10": [
        ["patch_embed"],
        *(blocks(i, i + 1, i + 2) for i in (0, 3, 6)),
        [*blocks(9, 10, 11), "norm"],
    ],
    "swin_b": [*(blocks(i, of="features.") for i in range(7)), ["features.7", "norm"]],
    "densenet121": [
        ["features.conv0", "features.norm0"],
        ["features.denseblock1", "features.transition1"],
        ["features.denseblock2", "features.transition2"],
        ["features.denseblock3", "features.transition3"],
        ["features.denseblock4", "features.norm5"],
    ],
    "vit_b_16": [
        ["conv_proj"],
        *(blocks(i, i + 1, i + 2, of="encoder.layers.encoder_layer_") for i in (0, 3, 6)),
        [*blocks(9, 10, 11, of="encoder.layers.encoder_layer_"), "encoder.ln"],
    ],
    "swin_t": [*(blocks(i, of="features.") for i in range(7)), ["features.7", "norm"]],
    "timm/resnet10t": [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]],
    "timm/vit_tiny_patch16_224": [
        ["patch_embed"],
        *(blocks(i, i + 1, i + 2) for i in (0, 3, 6)),
        [*blocks(9, 10, 11), "norm"],
    ],
    "timm/vit_large_patch16_224": [
        ["patch_embed"],
        *(blocks(*range(i, i + 6)) for i in (0, 6, 12)),
        [*blocks(*range(18, 24)), "norm"],
    ],
    "timm/swin_tiny_patch4_window7_224": [
        ["patch_embed"],
        *(blocks(i, of="layers.") for i in range(3)),
        ["layers.3", "norm"],
    ],
    "timm/convnext_atto": [
        ["stem"],
        *(blocks(i, of="stages.") for i in range(3)),
        ["stages.3", "head.norm"],
    ],
}


def meta_model(name):
    """A network without weights: names and shapes only."""
    library, _, inner = name.rpartition("/")
    with torch.device("meta"):
        if name in PUBLISHED:
            return PUBLISHED[name].make()
        if library:
            return timm.create_model(inner, pretrained=False)
        return torchvision.models.get_model(name, weights=None)


@pytest.mark.parametrize("name", STAGES)
def test_stages_of_published_networks(name):
    module = meta_model(name)
    head = PUBLISHED[name].head if name in PUBLISHED else None
    head = head or [n for n, part in module.named_modules() if isinstance(part, nn.Linear)][-1]
    assert stages_of(module, head) == STAGES[name]


def sequential(*parts):
    return nn.Sequential(OrderedDict(parts))


@pytest.mark.parametrize(
    ("module", "head", "stages"),
    [
        (TinyCNN(), "fc", [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]]),
        (
            TinyViT(img_size=8, patch_size=4, num_classes=2, embed_dim=4, depth=2, num_heads=1),
            "head",
            [["patch_embed"], ["blocks.0"], ["blocks.1", "norm"]],
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Linear(4, 2)),
            "3",
            [["0"], ["1"]],
        ),
        (  # no row of siblings: the numbered layers are the smaller part
            sequential(
                ("bn1", nn.BatchNorm2d(3)),
                ("body", nn.Conv2d(3, 64, 3)),
                ("bn2", nn.BatchNorm2d(64)),
                ("top", nn.Linear(64, 2)),
            ),
            "top",
            [["bn1"], ["body"], ["bn2"]],
        ),
        (
            nn.Sequential(nn.Flatten(), meta_model("resnet18")),
            "1.fc",
            [["1.conv1", "1.bn1"], ["1.layer1"], ["1.layer2"], ["1.layer3"], ["1.layer4"]],
        ),
    ],
    ids=["cnn", "vit", "sequential", "no-row", "inside"],
)
def test_stages_of_own_networks(module, head, stages):
    assert stages_of(module, head) == stages


@pytest.mark.parametrize("make", [tiny_cnn, tiny_vit], ids=["cnn", "vit"])
def test_stages_name_submodules(make):
    model = make()
    assert all(model.get_submodule(name) for stage in model.stages for name in stage)


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "timm/vit_tiny_patch16_224"])
def test_stages_of_a_wrapped_network_are_submodules_of_the_model(name):
    module = meta_model(name)
    module.to_empty(device="cpu")
    model = WrappedModel(module, name=name, image_shape=(3, 224, 224))
    assert all(model.get_submodule(part) for stage in model.stages for part in stage)
    assert model.stages[-1] == [f"module.{part}" for part in STAGES[name][-1]]


def test_adapters_go_beside_the_linear_maps_of_timms_attention():
    model = zoo.timm_model(name="vit_tiny_patch16_224", pretrained=False)
    assert model.adapter_targets == [
        f"module.blocks.{i}.attn.{layer}" for i in range(12) for layer in ("qkv", "proj")
    ]


def test_layers_whose_weights_are_read_without_a_call_take_no_adapter():
    for name in ("swin_t", "vit_b_32"):
        assert torchvision_model(name).adapter_targets == []


def test_adapters_of_a_cnn_go_beside_the_convolutions_that_keep_the_side():
    assert tiny_cnn().adapter_targets == ["conv1", "conv2", "conv3"]
    targets = torchvision_model("resnet18").adapter_targets
    assert len(targets) == 20  # all convolutions, strided and 1x1 ones included


@pytest.mark.parametrize(
    ("name", "n_targets"),
    [
        ("wrn_28_10", 28),
        ("wrn_40_2_augmix", 40),
        ("resnext_29_augmix", 31),
        ("resnet_26_gn", 25),
        ("resnet50_domainnet126_real", 53),
    ],
)
def test_adapters_of_published_cnns_go_beside_all_convolutions(name, n_targets):
    module = meta_model(name)
    model = WrappedModel(module.to_empty(device="cpu"), name=name, image_shape=(3, 32, 32))
    assert len(model.adapter_targets) == n_targets
    assert n_targets == sum(isinstance(m, nn.Conv2d) for m in module.modules())


def test_a_wrong_shape_on_the_card_is_named():
    module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
    model = WrappedModel(module, name="mine", image_shape=(3, 48, 48))
    with pytest.raises(ValueError, match=r"image_shape: mine does not take an image of \[3, 48"):
        _ = model.adapter_targets
