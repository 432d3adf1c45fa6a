"""Every method of the configuration keeps the contract, over a CNN and a transformer."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.build import build
from ctta.kernels import use_reference
from ctta.models.source import network_dtype
from ctta.testing import batches, check_method, prepared, tiny_cnn, tiny_vit

METHODS = sorted(path.stem for path in (asset_dir("configs") / "method").glob("*.yaml"))
# Other forms of a method that its file in configs/method names.
FORMS = [
    "adanpc method.confidence=double_softmax method.random_first_row=true",
    "adanpc +method.optimizer=${optimizer} method.feature_norm=eval"
    " optimizer.name=adam optimizer.lr=0.001",
    "frozen method.after=1",
    "norm method.statistics=mixed method.batch_share=0.1 method.bn_momentum=null",
    "norm method.statistics=updated",
    "petal method.restore=random method.restore_prob=0.01",
    "psmt method.variant=paper",
    "rmt method.source_weight=0.0 method.warmup_steps=0",
]

MODELS = pytest.mark.parametrize("tiny", [tiny_cnn, tiny_vit])


def maker(name, *overrides):
    """Model -> the method of that name, with the values of the digits."""
    with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
        composed = compose("config", overrides=[f"method={name}", "dataset=digits_c", *overrides])
    node = OmegaConf.to_container(composed.method, resolve=True)
    return lambda model: build(node, "method", model=model, seed=0)


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name):
    check_method(maker(name))


@pytest.mark.parametrize("form", FORMS)
def test_the_contract_holds_for_other_forms(form):
    check_method(maker(*form.split()))


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
