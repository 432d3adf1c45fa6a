"""Every method of the configuration keeps the contract, over a CNN and a transformer."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.build import build
from ctta.kernels import use_reference
from ctta.models.resnet_gn import ResNetGN
from ctta.models.source import WrappedModel, network_dtype
from ctta.testing import batches, check_method, prepared, tiny_cnn, tiny_vit

METHODS = sorted(path.stem for path in (asset_dir("configs") / "method").glob("*.yaml"))


MODELS = pytest.mark.parametrize("tiny", [tiny_cnn, tiny_vit])


def maker(name):
    """Model -> the method of that name, with the values of the digits."""
    with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
        composed = compose("config", overrides=[f"method={name}", "dataset=digits_c"])
    node = OmegaConf.to_container(composed.method, resolve=True)
    return lambda model: build(node, "method", model=model, seed=0)


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name):
    check_method(maker(name))


@MODELS
@pytest.mark.parametrize("name", METHODS)
def test_the_network_may_compute_in_bfloat16(name, tiny):
    method = prepared(maker(name))(tiny())
    with network_dtype(torch.bfloat16):
        for x in batches(3):
            logits = method(x)
            assert logits.dtype == torch.float32
            assert torch.isfinite(logits).all()
        assert torch.isfinite(method.predict(x)).all()
    for path, value in method.state_dict().items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            assert value.dtype == torch.float32, path
            assert torch.isfinite(value).all(), path


@MODELS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["cmf", "cotta", "petal", "psmt", "rmt", "roid", "rotta", "vida"])
def test_the_kernels_have_the_bits_of_their_reference(name, dtype, tiny):
    answers = []
    for reference in (False, True):
        with use_reference(reference):
            method = prepared(maker(name))(tiny(dtype))
            answers.append([method(x.to(dtype)) for x in batches(3)])
    for one, other in zip(*answers, strict=True):
        assert torch.equal(one, other)


def group_norm_model():
    """A network whose only norms are group norms, with fixed weights, and sure of its answers."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        module = ResNetGN(depth=8, n_groups=8, num_classes=5).requires_grad_(False)
        module.fc.weight.mul_(20)
    return WrappedModel(module.requires_grad_(True).eval(), name="gn", image_shape=(3, 16, 16))


@pytest.mark.parametrize("name", METHODS)
def test_a_network_with_group_norm_is_adapted(name):
    model = group_norm_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    method = prepared(maker(name))(model)
    for x in batches(3):
        logits = method(x)
        assert torch.isfinite(logits).all()
    assert method.predict(x).shape == logits.shape
    moved = {
        k for k, v in method.model.state_dict().items() if not torch.equal(v, before.get(k, v))
    }
    if name in ("deyo", "eata", "eta", "frozen", "rdumb", "sar", "tent"):
        norms = {n for n, m in method.model.named_modules() if isinstance(m, torch.nn.GroupNorm)}
        assert moved
        assert {key.rpartition(".")[0] for key in moved} <= norms
