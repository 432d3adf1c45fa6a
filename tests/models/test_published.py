"""Published models: key layouts, numbers of parameters, outputs, and what a card refuses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from key_layouts import constants, drawn, layout
from safetensors.torch import save_file

from ctta.assets import asset_dir
from ctta.data.cifar import Cifar10C, Cifar100C
from ctta.data.domainnet import VIEW as DOMAINNET_VIEW
from ctta.data.domainnet import DomainNet126
from ctta.data.imagenet import VIEWS, ImageNet3DCC, ImageNetC
from ctta.data.imagenet_variants import ImageNetA, ImageNetR, ImageNetSketch, ImageNetV2
from ctta.models.cards import LIST_5000, LIST_ALL, PUBLISHED
from ctta.models.checkpoint import load_weights
from ctta.models.domainnet_resnet import DomainNetResNet50
from ctta.models.published import CLASSES_OF, data_deviations, published_model
from ctta.models.resnet_gn import ResNetGN
from ctta.models.resnext import ResNeXt
from ctta.models.wide_resnet import WideResNet

TIMM = "vit_base_patch16_{}.augreg_in21k_ft_in1k"
# The parameters: of torchvision's networks from its own pages, of the others counted over the
# publishers' code (RobustBench at 78fcc9e, AdaContrast at c3c8b88, timm 1.0.31), of ResNet-26 in
# the published file.
MODELS = {
    "wrn_28_10": (layout("wrn_28_10"), 36_479_194),
    "wrn_40_2_augmix": (layout("wrn_40_2", K=10), 2_243_546),
    "wrn_40_2_augmix_cifar100": (layout("wrn_40_2", K=100), 2_255_156),
    "resnext_29_augmix": (layout("resnext_29", K=10), 6_807_882),
    "resnext_29_augmix_cifar100": (layout("resnext_29", K=100), 6_900_132),
    "resnet_26_gn": (layout("resnet_26_gn"), 366_938),
    "resnet50": (layout("resnet_50"), 25_557_032),
    "resnet50_augmix": (layout("resnet_50"), 25_557_032),
    "resnet50_many": (layout("resnet_50"), 25_557_032),
    "swin_b": (layout("swin_b"), 87_768_224),
    "vit_b_16": (layout("vit_b_16"), 86_567_656),
    TIMM.format(224): (layout("timm_vit_base_patch16", T=197, K=1000), 86_567_656),
    TIMM.format(384): (layout("timm_vit_base_patch16", T=577, K=1000), 86_859_496),
    "vit_base_patch16_384_cifar10": (layout("timm_vit_base_patch16", T=577, K=10), 86_098_186),
    "vit_base_patch16_384_cifar100": (layout("timm_vit_base_patch16", T=577, K=100), 86_167_396),
    "resnet50_domainnet126_real": (layout("domainnet_resnet_50"), 24_065_596),
    "resnet50_domainnet126_clipart": (layout("domainnet_resnet_50"), 24_065_596),
    "resnet50_domainnet126_painting": (layout("domainnet_resnet_50"), 24_065_596),
    "resnet50_domainnet126_sketch": (layout("domainnet_resnet_50"), 24_065_596),
}
# How the publishers wrap the weights; the others save them plainly.
WRAPPED = {
    "wrn_28_10": ("state_dict", "module."),
    "wrn_40_2_augmix": ("state_dict", "module."),
    "resnext_29_augmix_cifar100": ("state_dict", "module."),
    "resnet_26_gn": ("net", ""),
    "resnet50_augmix": ("state_dict", "module."),
    "resnet50_many": ("state_dict", "module."),
    "vit_base_patch16_384_cifar10": ("model", "module."),
    "vit_base_patch16_384_cifar100": ("model", "module."),
    "resnet50_domainnet126_real": ("state_dict", "module."),
}
BESIDE = {"epoch": 3, "err_cls": np.float64(0.5), "optimizer": {"state": {}, "param_groups": []}}


def written(path: Path, weights: dict[str, torch.Tensor], name: str) -> Path:
    """What the publisher of ``name`` would save."""
    key, prefix = WRAPPED.get(name, (None, ""))
    weights = {f"{prefix}{k}": v for k, v in weights.items()}
    torch.save(weights if key is None else {key: weights, **BESIDE}, path)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_table_is_of_the_published_models():
    assert MODELS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("name", MODELS)
def test_a_file_of_the_published_layout_loads_whole(name, tmp_path):
    shapes, n_parameters = MODELS[name]
    weights = constants(shapes)
    path = written(tmp_path / "w.pt", weights, name)
    model = published_model(name=name, weights=str(path), sha256=digest(path))
    assert sum(p.numel() for p in model.parameters()) == n_parameters
    loaded = model.module.state_dict()
    renamed = {k.replace("linear_1", "0").replace("linear_2", "3"): v for k, v in weights.items()}
    assert loaded.keys() == renamed.keys()
    for key, value in renamed.items():
        assert loaded[key].shape == value.shape, key
        first = value.flatten()[0]
        low, high = loaded[key].aminmax()
        assert low == first == high, key
    assert all(p.requires_grad and p.is_leaf and p.is_contiguous() for p in model.parameters())
    assert not model.training
    assert model.card.verified
    assert model.card.file_sha256 == digest(path)
    assert model.card.deviations == ()
    assert model.card.n_classes == len(model.head.weight)
    assert all(model.get_submodule(part) for stage in model.stages for part in stage)
    json.dumps(model.card.to_dict())


NETWORKS = {
    "wide_resnet": (lambda: WideResNet(depth=16, width=2, num_classes=7), 32),
    "resnext": (lambda: ResNeXt(depth=20, cardinality=4, base_width=16, num_classes=7), 32),
    "resnet_gn": (lambda: ResNetGN(depth=14, n_groups=8, num_classes=7), 32),
    "domainnet_resnet": (lambda: DomainNetResNet50(num_classes=126, bottleneck=256), 64),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_publishers_code(name):
    """``outputs.npz`` was recorded with RobustBench's, Döbler's and AdaContrast's own networks in
    float64, with weights drawn from their names."""
    make, side = NETWORKS[name]
    network = make().double().eval()
    network.load_state_dict({k: drawn(k, v.shape) for k, v in network.state_dict().items()})
    images = np.random.Generator(np.random.PCG64(0)).random((3, 3, side, side))
    with torch.no_grad():
        logits = network(torch.from_numpy(images)).numpy()
    with np.load(Path(__file__).parent / "outputs.npz") as recorded:
        np.testing.assert_allclose(logits, recorded[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("make", [m for m, _ in NETWORKS.values()][:3], ids=list(NETWORKS)[:3])
def test_depths_that_do_not_divide_are_named(make):
    kind = type(make())
    others = {
        WideResNet: {"depth": 27, "width": 1},
        ResNeXt: {"depth": 28, "cardinality": 1, "base_width": 4},
        ResNetGN: {"depth": 2, "n_groups": 8},
    }
    with pytest.raises(ValueError, match=r"depth: expected \dn \+ \d .*, got "):
        kind(num_classes=2, **others[kind])


@pytest.fixture
def resnet26(tmp_path):
    """A ResNet-26 in the published layout, with weights of our own."""
    weights = {k: drawn(k, shape).float() for k, shape in layout("resnet_26_gn").items()}
    return written(tmp_path / "ckpt.pth", weights, "resnet_26_gn")


def test_normalisation_is_inside_unless_it_is_left_out(resnet26):
    arguments = {"name": "resnet_26_gn", "weights": str(resnet26), "sha256": digest(resnet26)}
    model = published_model(**arguments)
    plain = published_model(**arguments, normalisation="none", strict=False)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(x), model.module((x - 0.5) / 0.5))
    assert torch.equal(plain(x), plain.module(x))
    assert (model.card.mean, plain.card.mean) == ((0.5,) * 3, None)
    assert model.card.weights_sha256 != plain.card.weights_sha256
    assert plain.card.deviations == (
        "normalisation: expected mean (0.5, 0.5, 0.5) and std (0.5, 0.5, 0.5), got none",
    )
    with pytest.raises(ValueError, match=r"normalisation: expected mean .* model\.strict=false"):
        published_model(**arguments, normalisation="none")


def test_another_file_is_refused_or_marked(resnet26, caplog):
    with pytest.raises(ValueError, match=r"weights: expected a file with SHA-256 272f183a.*got "):
        published_model(name="resnet_26_gn", weights=str(resnet26))
    model = published_model(name="resnet_26_gn", weights=str(resnet26), strict=False)
    assert not model.card.verified
    assert model.card.deviations[0].startswith("weights: expected a file with SHA-256 272f183a")
    assert "is not used as published: weights: expected" in caplog.text
    found = digest(resnet26)
    pinned = published_model(name="resnet_26_gn", weights=str(resnet26), sha256=found[:8].upper())
    assert pinned.card.verified


def test_without_a_published_checksum_a_file_is_taken_and_not_called_verified(tmp_path):
    path = written(tmp_path / "w.pt", constants(layout("wrn_28_10")), "wrn_28_10")
    card = published_model(name="wrn_28_10", weights=str(path)).card
    assert (card.verified, card.deviations, card.file_sha256) == (False, (), digest(path))


@pytest.mark.parametrize(
    ("names", "mean", "found"),
    [
        (("mu", "sigma"), 0.5, False),
        (("mu", "sigma"), 0.4, True),
        (("normalize.mean", "normalize.std"), 0.5, False),
    ],
)
def test_the_files_own_normalisation_is_compared(names, mean, found, tmp_path):
    prefix = "model." if names[0].startswith("normalize") else ""
    weights = {f"{prefix}{k}": v for k, v in constants(layout("wrn_40_2", K=10)).items()}
    weights |= {names[0]: torch.full((1, 3, 1, 1), mean), names[1]: torch.full((1, 3, 1, 1), 0.5)}
    path = tmp_path / "w.pt"
    torch.save(weights, path)
    card = published_model(name="wrn_40_2_augmix", weights=str(path), strict=False).card
    assert bool(card.deviations) == found
    if found:
        assert "normalisation: expected mean (0.5, 0.5, 0.5), got [0.4" in card.deviations[0]


def test_a_checkpoint_without_counters_of_batches_loads(tmp_path):
    shapes = layout("wrn_28_10")
    weights = {k: v for k, v in constants(shapes).items() if not k.endswith("batches_tracked")}
    path = written(tmp_path / "old.pt", weights, "wrn_28_10")
    model = published_model(name="wrn_28_10", weights=str(path))
    assert model.module.bn1.num_batches_tracked == 0


def test_safetensors_load_too(tmp_path):
    weights = {k: drawn(k, shape).float() for k, shape in layout("resnet_26_gn").items()}
    path = tmp_path / "w.safetensors"
    save_file(weights, path)
    model = published_model(name="resnet_26_gn", weights=str(path), strict=False)
    assert torch.equal(model.module.fc.weight, weights["fc.weight"])


def test_the_half_precision_of_a_file_is_widened(tmp_path):
    weights = {k: drawn(k, shape).half() for k, shape in layout("resnet_26_gn").items()}
    network = ResNetGN(depth=26, n_groups=8, num_classes=10)
    load_weights(network, weights, tmp_path)
    assert network.fc.weight.dtype == torch.float32


CROP = "resize 256 bilinear, centre crop 224"


def imagenet_c(preprocessing, list_sha256):
    return {
        "id": "imagenet_c",
        "preprocessing": f"{preprocessing}, uint8 / 255",
        "list_sha256": list_sha256,
    }


def domainnet(source_domain):
    return {
        "id": "domainnet126",
        "preprocessing": "resize (256, 256) bilinear, centre crop 224, uint8 / 255",
        "source_domain": source_domain,
    }


# --- the data set ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "normalised", "words"),
    [
        ("wrn_28_10", {"id": "cifar10_c", "preprocessing": "uint8 / 255"}, False, None),
        ("wrn_28_10", {"id": "my_folder"}, False, None),
        ("wrn_28_10", {"id": "digits_c"}, False, "expected those of cifar10, got those of digits"),
        ("wrn_28_10", {"id": "cifar100_c"}, False, "got those of cifar100"),
        ("resnet50", imagenet_c("as stored", LIST_5000), True, None),
        ("resnet50", imagenet_c("as stored", LIST_ALL), True, None),
        (
            "resnet50",
            imagenet_c("as stored", "12ab"),
            True,
            "list of images: expected SHA-256 64ee",
        ),
        ("resnet50", imagenet_c(CROP, LIST_5000), True, None),
        ("resnet50", {"id": "imagenet_r", "preprocessing": f"{CROP}, uint8 / 255"}, True, None),
        ("resnet50", {"id": "ccc", "preprocessing": "as stored, uint8 / 255"}, True, None),
        ("swin_b", imagenet_c("as stored", LIST_5000), True, None),
        ("swin_b", imagenet_c(CROP, LIST_5000), True, f"resize: expected as stored, got {CROP}"),
        (
            "swin_b",
            {"id": "imagenet_r", "preprocessing": f"{CROP}, uint8 / 255"},
            True,
            f"resize: expected resize 238 bicubic, centre crop 224, got {CROP}",
        ),
        ("swin_b", {"id": "imagenet_c"}, False, "normalisation: expected mean"),
        (TIMM.format(224), imagenet_c(CROP, LIST_5000), False, None),  # as ViDA feeds it
        ("vit_base_patch16_384_cifar10", {"id": "cifar10_c"}, False, None),
        (
            "vit_base_patch16_384_cifar10",
            {"id": "cifar10_c", "preprocessing": "uint8 / 255"},
            False,
            "resize: expected resize 384 bilinear, as stored, got as stored",
        ),
        ("resnet50", {"id": "imagenet_r", "classes_sha256": "00"}, True, "a list with SHA-256"),
        ("resnet50_domainnet126_real", domainnet("real"), True, None),
        ("resnet50_domainnet126_sketch", domainnet("sketch"), True, None),
        (
            "resnet50_domainnet126_sketch",
            domainnet("real"),
            True,
            "source domain: expected sketch, got real",
        ),
        ("resnet50_domainnet126_real", {"id": "imagenet_c"}, True, "got those of imagenet"),
    ],
)
def test_what_a_card_says_of_a_data_set(name, data, normalised, words):
    found = data_deviations(PUBLISHED[name].card, normalised, data)
    if words is None:
        assert found == []
    else:
        assert len(found) == 1
        assert words in found[0]


def test_cards_speak_as_the_data_sets_do():
    assert str(VIEWS["as_stored"]) == "as stored" == PUBLISHED["wrn_28_10"].card.preprocessing
    assert str(VIEWS["resize256_crop224"]) == CROP == PUBLISHED["resnet50"].card.preprocessing
    domainnet = PUBLISHED["resnet50_domainnet126_clipart"].card
    assert domainnet.preprocessing == str(DOMAINNET_VIEW)
    sets = (Cifar10C, Cifar100C, ImageNetC, ImageNet3DCC, DomainNet126)
    variants = (ImageNetR, ImageNetA, ImageNetV2, ImageNetSketch)
    assert {kind.name for kind in (*sets, *variants)} <= CLASSES_OF.keys()
    assert {row.data for p in PUBLISHED.values() for row in p.card.source_errors} <= set(CLASSES_OF)


# Copied from the pages, not from the cards.
@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("wrn_28_10", "cifar10_c", 43.5),
        ("wrn_40_2_augmix", "cifar10_c", 18.3),
        ("resnext_29_augmix_cifar100", "cifar100_c", 46.4),
        ("resnet_26_gn", "cifar10_c", 32.7),
        ("resnet50", "imagenet_c", 82.0),
        ("resnet50", "imagenet_r", 63.8),
        ("swin_b", "imagenet_c", 64.0),
        ("swin_b", "imagenet_sketch", 68.4),
        ("vit_b_16", "imagenet_c", 60.2),
        ("vit_b_16", "imagenet_d109", 53.6),
        (TIMM.format(224), "imagenet_c", 44.5),
        ("resnet50_domainnet126_real", "domainnet126", 45.3),
    ],
)
def test_expected_source_errors(name, data, error):
    rows = PUBLISHED[name].card.source_errors
    assert error in {r.error_pct for r in rows if r.data == data}
    assert {r.error_pct for r in rows if r.data == data} <= {error, 82.4, 55.8}
    assert all(r.source for r in rows)


def test_expected_source_errors_under_other_conditions():
    (resized,) = [r for r in PUBLISHED["resnet50"].card.source_errors if r.error_pct == 82.4]
    assert (resized.preprocessing, resized.list_sha256) == (CROP, LIST_5000)
    (vida,) = [r for r in PUBLISHED[TIMM.format(224)].card.source_errors if not r.normalised]
    assert (vida.error_pct, vida.preprocessing) == (55.8, CROP)


def test_the_order_of_imagenets_classes_is_timms():
    timm = pytest.importorskip("timm")
    synsets = Path(timm.__file__).parent / "data/_info/imagenet_synsets.txt"
    names = "\n".join(synsets.read_text(encoding="utf-8").split())
    assert hashlib.sha256(names.encode()).hexdigest() == PUBLISHED["swin_b"].card.classes_sha256


def test_preprocessing_is_that_of_the_libraries():
    timm = pytest.importorskip("timm")
    torchvision = pytest.importorskip("torchvision")
    for name, published in PUBLISHED.items():
        card = published.card
        if name in ("resnet50", "swin_b", "vit_b_16"):
            weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
            theirs = weights.transforms()
            assert [list(card.mean), list(card.std)] == [theirs.mean, theirs.std]
            assert ([card.resize], [card.crop]) == (theirs.resize_size, theirs.crop_size)
            assert card.interpolation == theirs.interpolation.value
            assert published.url == weights.url
            accuracy = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
            assert card.clean_error_pct == pytest.approx(100 - accuracy, abs=1e-9)
        elif "augreg" in name:
            theirs = timm.get_pretrained_cfg(name)
            assert (card.mean, card.std, card.image_shape) == (
                theirs.mean,
                theirs.std,
                theirs.input_size,
            )
            assert card.resize == int(card.crop / theirs.crop_pct)
            assert card.interpolation == theirs.interpolation
            assert card.licence.lower() == theirs.license


# --- files and the command line ----------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((asset_dir("configs") / "model").glob("*.yaml")))
def test_every_configured_name_is_published_and_its_file_named(path):
    text = path.read_text(encoding="utf-8")
    node = yaml.safe_load(text)
    if node["_target_"] != "ctta.models.published.published_model":
        return
    assert text.splitlines()[1].startswith("# source: ")
    assert f"CTTA_CACHE/models/{PUBLISHED[node['name']].file}" in text
    assert (node["sha256"], node["strict"], node["normalisation"]) == (None, True, "published")


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_absent_file_says_what_to_put_where(name, tmp_path):
    with pytest.raises(ValueError) as raised:
        published_model(name=name, cache=tmp_path)
    message = str(raised.value)
    assert str(tmp_path / "models" / PUBLISHED[name].file) in message
    assert PUBLISHED[name].url in message
    assert ("SHA-256" in message) == (PUBLISHED[name].sha256 is not None)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "wrn_28_11"}, r"model\.name: expected one of wrn_28_10, .*got 'wrn_28_11'"),
        ({"name": "wrn_28_10", "normalisation": "no"}, r"expected published or none, got 'no'"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        published_model(**arguments)


def test_a_run_is_refused_or_marked(ctta, resnet26):
    arguments = ["run", "model=resnet_26_gn", f"model.weights={resnet26}", "method=tent"]
    arguments += ["dataset.n_images=20", "dataset.corruptions=[fog]", "optimizer.name=adam"]
    status, _, err = ctta(*arguments)
    assert status == 1
    assert "weights: expected a file with SHA-256" in err
    assert "classes: expected those of cifar10, got those of digits" in err
    status, _, err = ctta(*arguments, "model.strict=false")
    assert status == 0
    (record,) = Path("runs").glob("*/result.json")
    card = json.loads(record.read_text())["model"]
    assert card["name"] == "resnet_26_gn"
    assert [d.partition(":")[0] for d in card["deviations"]] == ["weights", "classes"]
