"""Files of weights that are none, or another network's."""

from collections import OrderedDict

import pytest
import torch
from key_layouts import constants, layout
from safetensors.torch import save_file
from torch import nn

from ctta.models.checkpoint import load_weights, read_weights
from ctta.models.published import published_model
from ctta.models.resnet_gn import ResNetGN
from ctta.models.wide_resnet import WideResNet


class Code:
    """Something that a pickle can only bring back by running code."""


def saved(tmp_path, content):
    path = tmp_path / "w.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], r"expected named tensors, or them under state_dict or .*, got list"),
        ("text", r"got str$"),
        (torch.zeros(2), r"got Tensor$"),
        ({}, r"got the keys \(none\)$"),
        ({"epoch": 3, "best": 0.5}, r"got the keys epoch, best$"),
        ({"state_dict": {"epoch": 3}}, r"got the keys state_dict$"),
        ({"w": Code()}, r"needs code to be run \([\w.]*Code\), which is refused; .*state_dict\(\)"),
        (nn.Linear(2, 2), r"needs code to be run \(torch\.nn\.modules\.linear\.Linear\)"),
    ],
    ids=["list", "text", "tensor", "empty", "no-weights", "no-tensors", "code", "module"],
)
def test_what_holds_no_weights_is_one_line(tmp_path, content, words):
    with pytest.raises(ValueError, match=words) as raised:
        read_weights(saved(tmp_path, content))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 600, -50])
def test_a_damaged_file_is_one_line(tmp_path, suffix, kept):
    path = tmp_path / f"w.{suffix}"
    weights = {"a": torch.rand(40, 40), "b": torch.rand(3)}
    save_file(weights, path) if suffix == "safetensors" else torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cut off or no file of weights .* fetch it again") as hit:
        read_weights(path)
    assert "\n" not in str(hit.value)


def test_no_file_and_a_text_file_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.pt cannot be loaded: no such file; type model"):
        read_weights(tmp_path / "absent.pt")
    page = tmp_path / "w.pt"
    page.write_text("<!DOCTYPE html><title>Google Drive - Virus scan warning</title>")
    with pytest.raises(ValueError, match=r"no file of weights"):
        read_weights(page)


def network():
    return WideResNet(depth=28, width=10, num_classes=10)


def test_the_weights_of_another_network_are_counted(tmp_path):
    path = saved(tmp_path, constants(layout("resnet_26_gn")))
    with torch.device("meta"):
        module = network()
    with pytest.raises(ValueError) as raised:
        load_weights(module, read_weights(path), path)
    # Of its tensors 25 count batches and may be missing; the file has conv1.weight and fc's two.
    message = str(raised.value)
    assert "of 155 tensors 127 missing (first block1.layer.0.bn1.weight)" in message
    assert "74 unexpected (first layer1.0.bn1.weight)" in message
    assert "1 of another shape (first fc.weight)" in message
    assert message.endswith("choose the model=... that it belongs to")


def test_another_width_or_another_head_is_counted(tmp_path):
    path = saved(tmp_path, {"state_dict": constants(layout("wrn_40_2", K=100))})
    with pytest.raises(ValueError, match=r"2 of another shape \(first fc\.weight\)"):
        published_model(name="wrn_40_2_augmix", weights=str(path))
    with pytest.raises(
        ValueError, match=r"model\.weights: .* unexpected .* of another shape .*; wrn_28_10 is from"
    ):
        published_model(name="wrn_28_10", weights=str(path))


def test_names_of_the_users_own_are_left_alone():
    inner = nn.Sequential(OrderedDict(model=nn.Linear(2, 2)))
    weights = {"model.weight": torch.ones(2, 2), "model.bias": torch.ones(2)}
    assert load_weights(inner, weights, "w") == {}
    assert inner.model.weight.sum() == 4
    wrapped = {f"module.{k}": v for k, v in weights.items()}
    load_weights(inner, wrapped, "w")


def test_tensors_of_a_file_that_share_memory_do_not_share_it_in_the_network():
    one = torch.zeros(64, 64, 3, 3)
    weights = {
        k: one[: v.shape[0], : v.shape[1]] if v.shape[2:] == (3, 3) else v
        for k, v in ResNetGN(depth=8, n_groups=8, num_classes=2).state_dict().items()
    }
    module = ResNetGN(depth=8, n_groups=8, num_classes=2)
    load_weights(module, weights, "w")
    with torch.no_grad():
        module.layer1[0].conv1.weight.add_(1)
    assert module.layer1[0].conv2.weight.abs().sum() == 0
    assert one.abs().sum() == 0
