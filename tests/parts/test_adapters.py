"""Branches beside layers: what they add, where they go, what they draw."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from ctta.parts.adapters import (
    Adapted,
    adapter_parameters,
    adapters,
    add_adapters,
    other_parameters,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Sequential(nn.Flatten(), nn.Linear(5 * 16, 7, bias=False)),
        nn.Linear(7, 4),
    )


def adapted(names=("0", "2.1"), low_rank=2, high_rank=6):
    module = network()
    add_adapters(module, names, low_rank=low_rank, high_rank=high_rank, generator=generator())
    return module


def trained(module):
    """Every adapter parameter moved away from where it starts."""
    with torch.no_grad():
        for p in adapter_parameters(module).values():
            p.copy_(torch.randn(p.shape, generator=generator(1)))
    return module


def images():
    return torch.randn(6, 3, 8, 8, generator=generator(2))


def test_at_first_the_model_computes_what_it_did():
    module = network()
    before = module(images())
    add_adapters(module, ["0", "2.1", "3"], low_rank=1, high_rank=4, generator=generator())
    assert torch.equal(module(images()), before)


@pytest.mark.parametrize(("low_scale", "high_scale"), [(1.0, 1.0), (0.3, 1.7), (0.0, 0.0)])
def test_a_linear_layer_gains_two_low_rank_matrices(low_scale, high_scale):
    layer = nn.Linear(9, 5).double()
    module = Adapted(layer, low_rank=2, high_rank=12, generator=generator())
    trained(nn.ModuleList([module]))
    module.scales = [low_scale, high_scale]
    low = module.vida_up.weight @ module.vida_down.weight
    high = module.vida_up2.weight @ module.vida_down2.weight
    x = torch.randn(4, 3, 9, generator=generator(3), dtype=torch.float64)
    expected = F.linear(x, layer.weight + low_scale * low + high_scale * high, layer.bias)
    torch.testing.assert_close(module(x), expected)
    assert np.linalg.matrix_rank(low.detach().numpy()) == 2
    assert np.linalg.matrix_rank(high.detach().numpy()) == 5


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_gains_a_map_of_each_pixel(stride):
    layer = nn.Conv2d(3, 5, 3, stride=stride, padding=1).double()
    module = Adapted(layer, low_rank=2, high_rank=4, generator=generator())
    trained(nn.ModuleList([module]))
    low = (module.vida_up.weight.flatten(1) @ module.vida_down.weight.flatten(1))[..., None, None]
    high = module.vida_up2.weight.flatten(1) @ module.vida_down2.weight.flatten(1)
    # A kernel of one pixel is one of 3x3 that is zero but for its centre.
    kernel = layer.weight + F.pad(low + high[..., None, None], (1, 1, 1, 1))
    x = images().double()
    expected = F.conv2d(x, kernel, layer.bias, stride=stride, padding=1)
    torch.testing.assert_close(module(x), expected)


def test_parameters_are_told_apart():
    module = adapted()
    branches, rest = adapter_parameters(module), other_parameters(module)
    assert len(branches) == 2 * 4
    assert not branches.keys() & rest.keys()
    assert branches.keys() | rest.keys() == dict(module.named_parameters()).keys()
    assert sum(p.numel() for p in rest.values()) == sum(p.numel() for p in network().parameters())
    assert [type(layer.linear_vida) for layer in adapters(module)] == [nn.Conv2d, nn.Linear]
    assert adapters(network()) == []
    assert adapter_parameters(network()) == {}


def test_layers_keep_their_parameters_mode_and_type():
    module = network().double().eval()
    conv = module[0]
    add_adapters(module, ["0"], low_rank=1, high_rank=2, generator=generator())
    assert module[0].linear_vida is conv
    assert not module[0].training
    assert not module[0].vida_down.training
    assert {p.dtype for p in module.parameters()} == {torch.float64}
    assert all(p.requires_grad for p in adapter_parameters(module).values())


def test_down_projections_are_normal_and_up_projections_zero():
    module = Adapted(nn.Linear(600, 3), low_rank=2, high_rank=8, generator=generator())
    for down, up, rank in (
        (module.vida_down, module.vida_up, 2),
        (module.vida_down2, module.vida_up2, 8),
    ):
        drawn = down.weight.detach().flatten().numpy() * rank**2
        assert stats.kstest(drawn, "norm").pvalue > 1e-4
        assert not up.weight.any()
        assert down.bias is None
        assert up.bias is None


def test_draws_come_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again = adapted(), adapted()
    made = [list(adapter_parameters(m).values()) for m in (first, again)]
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))
    torch.set_rng_state(before)
    module = network()
    state = torch.get_rng_state()
    add_adapters(module, ["3"], low_rank=1, high_rank=2, generator=generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_copy_has_scales_of_its_own():
    module = adapted()
    other = copy.deepcopy(module)
    adapters(other)[0].scales[0] = 0.5
    assert adapters(module)[0].scales == [1.0, 1.0]
    assert "scales" not in "".join(module.state_dict())


def test_another_kind_of_layer_is_refused():
    with pytest.raises(AssertionError):
        adapted(names=("1",))
