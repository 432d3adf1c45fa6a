"""Source models: features and head, the trained digits, the cache, hubs, own modules."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ctta.data.digits import DigitsC
from ctta.data.source import SourceData
from ctta.models import zoo
from ctta.models.digits import TinyCNN
from ctta.models.digits_vit import TinyViT
from ctta.models.domainnet_resnet import DomainNetResNet50, WeightNormLinear
from ctta.models.resnet_gn import ResNetGN
from ctta.models.resnext import ResNeXt
from ctta.models.source import WrappedModel, heard, weights_hash
from ctta.models.training import train
from ctta.models.wide_resnet import WideResNet

VIT = {
    "img_size": 16,
    "patch_size": 8,
    "num_classes": 5,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
}


def torchvision(name):
    return zoo.torchvision_model(name=name, weights="IMAGENET1K_V1", pretrained=False)


def domainnet():
    module = DomainNetResNet50(num_classes=7, bottleneck=16)
    return WrappedModel(module, name="m", image_shape=(3, 64, 64), head="fc")


def wrapped(module):
    return WrappedModel(module, name="m", image_shape=(3, 32, 32))


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (lambda: TinyCNN(num_classes=5, side=16), 16),
        (lambda: TinyViT(**VIT), 16),
        (lambda: zoo.timm_model(name="resnet10t", pretrained=False), 64),
        (lambda: zoo.timm_model(name="vit_tiny_patch16_224", pretrained=False), 224),
        (lambda: torchvision("resnet18"), 64),
        (lambda: torchvision("vit_b_32"), 224),
        (lambda: torchvision("swin_t"), 64),
        (lambda: wrapped(WideResNet(depth=10, width=1, num_classes=5)), 32),
        (lambda: wrapped(ResNeXt(depth=11, cardinality=2, base_width=8, num_classes=5)), 32),
        (lambda: wrapped(ResNetGN(depth=8, n_groups=8, num_classes=5)), 32),
        (domainnet, 64),
    ],
    ids=[
        "cnn",
        "vit",
        "timm-cnn",
        "timm-vit",
        "tv-resnet",
        "tv-vit",
        "tv-swin",
        "wrn",
        "resnext",
        "gn",
        "domainnet",
    ],
)
def test_head_of_features_is_forward(make, side):
    model = make().eval()
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        logits, features = model(x), model.features(x)
        assert torch.equal(model.head(features), logits)
    assert features.shape == (2, model.n_features)
    assert logits.shape == (2, model.card.n_classes)
    assert json.dumps(model.card.to_dict())


def test_state_names_are_plain():
    assert {"conv1.weight", "bn3.running_var", "fc.bias"} <= set(TinyCNN().state_dict())
    assert {"cls_token", "blocks.1.attn.qkv.weight", "head.bias"} <= set(
        TinyViT(**VIT).state_dict()
    )


def test_normalisation_is_inside():
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    model = WrappedModel(inner, name="m", image_shape=(3, 2, 2), mean=(0.5,) * 3, std=(0.25,) * 3)
    x = torch.rand(4, 3, 2, 2)
    assert torch.equal(model(x), inner((x - 0.5) / 0.25))
    assert model.card.n_classes == 3


def test_a_source_model_inside_another_is_heard_once():
    inside = TinyCNN()
    model = WrappedModel(inside, name="around", image_shape=(3, 32, 32)).eval()
    x, seen = torch.rand(2, 3, 32, 32), []
    with heard(lambda module, *_: seen.append(module)):
        logits = model(x)
        assert torch.equal(model.features_and_logits(x)[1], logits)
    assert [module is model for module in seen] == [True, True]
    assert torch.equal(logits, inside(x))


def test_a_library_models_normalisation_and_tag_are_those_of_its_weights():
    model = torchvision("resnet18")
    assert model.card.name == "torchvision/resnet18.IMAGENET1K_V1"
    assert (model.card.mean, model.card.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    tagged = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert zoo.timm_model(name=tagged, pretrained=False).card.mean == (0.5, 0.5, 0.5)


def test_a_weight_normed_head_can_be_copied_and_trained():
    head = WeightNormLinear(4, 3)
    twin = copy.deepcopy(head)
    x = torch.rand(5, 4)
    assert torch.equal(head(x), twin(x))
    with torch.no_grad():
        twin.weight_v.mul_(2)
        assert torch.allclose(head(x), twin(x))  # a length of its own
        twin.weight_g.mul_(2)
    assert torch.allclose(2 * (head(x) - head.bias), twin(x) - twin.bias)
    twin(x).sum().backward()
    assert twin.weight_g.grad.abs().sum() > 0


def test_a_model_without_a_linear_head_is_named():
    with pytest.raises(ValueError, match="no linear layer; name its last layer"):
        WrappedModel(nn.Conv2d(3, 3, 1), name="m", image_shape=(3, 2, 2))
    with pytest.raises(ValueError, match="has no submodule 'top'"):
        WrappedModel(nn.Linear(2, 2), name="m", image_shape=(3, 2, 2), head="top")


def test_the_hash_sees_every_weight():
    model = TinyCNN()
    before = weights_hash(model)
    assert weights_hash(model) == before
    model.bn2.running_mean[0] += 1
    assert weights_hash(model) != before


def tiny_source():
    generator = torch.Generator().manual_seed(0)
    return SourceData(torch.rand(32, 3, 16, 16, generator=generator), torch.arange(32) % 5, "i")


def test_training_is_deterministic_and_leaves_threads_and_generators_alone():
    hashes, reported = [], []
    threads = torch.get_num_threads()
    for seed in (1, 2):
        model = zoo.seeded(lambda: TinyCNN(num_classes=5, side=16))
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        train(
            model,
            tiny_source(),
            epochs=2,
            lr=0.01,
            weight_decay=0.0,
            report=lambda *a: reported.append(a[:2]),
        )
        assert torch.equal(state, torch.get_rng_state())
        hashes.append(weights_hash(model))
    assert hashes[0] == hashes[1]
    assert reported == [(1, 2), (2, 2)] * 2
    assert torch.get_num_threads() == threads


def clean_accuracy(model):
    x, y = DigitsC().clean_test()
    with torch.no_grad():
        return float((model(x[:]).argmax(1) == y).float().mean())


def test_the_cnn_is_accurate(digits_cache):
    assert clean_accuracy(zoo.digits_model(architecture="cnn", cache=digits_cache)) > 0.97


def test_it_is_trained_once_and_a_damaged_cache_is_made_again(
    digits_cache, tmp_path, monkeypatch, caplog
):
    trained = zoo.digits_model(cache=digits_cache)
    times = []

    def train(model, *_, **__):
        model.load_state_dict(trained.state_dict())
        times.append(1)

    monkeypatch.setattr(zoo, "train", train)
    cards = [zoo.digits_model(cache=tmp_path).card for _ in range(2)]
    assert times == [1]
    assert cards == [trained.card] * 2
    (weights,) = (tmp_path / "models").glob("digits_cnn-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    assert zoo.digits_model(cache=tmp_path).card == trained.card
    assert times == [1, 1]
    assert "is damaged" in caplog.text


@pytest.mark.slow
def test_the_vit_is_accurate(digits_cache):
    assert clean_accuracy(zoo.digits_model(architecture="vit", cache=digits_cache)) > 0.94


def test_a_swapped_weight_is_seen_by_its_hash(tmp_path, caplog):
    model, path = TinyCNN(), tmp_path / "m"
    zoo.save_cached(model, path)
    assert zoo.load_cached(TinyCNN(), path)
    other = {k: v + 1 for k, v in model.state_dict().items()}
    save_file(other, path.with_suffix(".safetensors"))
    assert not zoo.load_cached(TinyCNN(), path)
    assert "does not have the hash on its card" in caplog.text


def test_a_damaged_model_is_trained_from_the_start_and_under_a_lock(tmp_path, monkeypatch):
    starts, locks = [], []

    def train(model, source, **_):
        starts.append(zoo.weights_hash(model))
        locks.append(len(list((tmp_path / "models").glob(".*.lock"))))
        with torch.no_grad():
            model.head.bias += 1

    monkeypatch.setattr(zoo, "train", train)
    made = zoo.digits_model(cache=tmp_path)
    (weights,) = (tmp_path / "models").glob("*.safetensors")
    save_file({k: v + 1 for k, v in made.state_dict().items()}, weights)
    assert zoo.digits_model(cache=tmp_path).card == made.card
    assert len(set(starts)) == 1
    assert locks == [1, 0]  # no second lock: where a file is there, others are not kept waiting
    assert sorted(p.suffix for p in (tmp_path / "models").iterdir()) == [".json", ".safetensors"]


TWO = """
import sys
from pathlib import Path
from ctta.models import zoo

sys.stdin.readline()
made = []
model = zoo.digits_model(cache=Path(sys.argv[1]), report=lambda *_: made.append(1))
print(len(made), model.card.weights_sha256)
"""


@pytest.mark.slow
def test_of_two_processes_one_trains(tmp_path):
    command = [sys.executable, "-c", TWO, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = sorted(process.communicate()[0].split() for process in processes)
    assert [int(epochs) for epochs, _ in answers] == [0, 20]
    assert answers[0][1] == answers[1][1]


def test_a_cache_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(ValueError, match="set CTTA_CACHE"):
        zoo.digits_model(cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: zoo.digits_model(architecture="mlp"), "expected one of cnn, vit, got 'mlp'"),
        (lambda: zoo.timm_model(name="resnet99"), "timm has no 'resnet99'; similar names: resnet"),
        (
            lambda: zoo.timm_model(name="vit_base_patch16_224"),
            r"expected a full tag, one of .*augreg_in21k_ft_in1k.*, got 'vit_base_patch16_224'",
        ),
        (lambda: zoo.timm_model(name="vit_base_patch16_224.mine"), "expected a full tag"),
        (lambda: torchvision("resnet99"), "torchvision has no 'resnet99'"),
        (
            lambda: zoo.torchvision_model(name="resnet50", weights="V1"),
            "resnet50 has IMAGENET1K_V1, IMAGENET1K_V2.*, got 'V1'",
        ),
        (lambda: zoo.custom_model(target="no.module:make"), r"model\.target: expected package"),
        (lambda: zoo.custom_model(target="torch.nn:Nothing"), r"model\.target: expected package"),
        (
            lambda: zoo.custom_model(target="ctta.models.digits:TinyCNN", weights="absent.pt"),
            r"model\.weights: absent\.pt cannot be loaded",
        ),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_no_network_is_one_clear_line():
    def fail():
        raise OSError("no route")

    with pytest.raises(
        ValueError, match=r"weights of m cannot be fetched .*model\.pretrained=false"
    ):
        zoo.fetched(fail, "m", True)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_own_modules_load_both_formats(tmp_path, suffix):
    model = TinyCNN()
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    loaded = zoo.custom_model(target="ctta.models.digits:TinyCNN", weights=str(path))
    assert weights_hash(loaded) == weights_hash(model)
    wrapped = zoo.custom_model(target="torchvision.models:squeezenet1_0", head="classifier.1")
    assert wrapped.head_name == "classifier.1"
