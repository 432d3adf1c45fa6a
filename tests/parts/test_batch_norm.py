"""Batch norm at test time, that of a bottleneck behind the pooling included."""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from ctta.methods.rotta import RoTTA
from ctta.methods.tent import Tent
from ctta.models.source import WrappedModel
from ctta.parts.batch_norm import mix_statistics, use_batch_statistics, use_robust_statistics
from ctta.testing import check_method

SGD = {"name": "sgd", "lr": 0.1}


def lived_in(layer, *shape):
    """A layer with statistics of its own, in eval mode, and an input for it."""
    generator = torch.Generator().manual_seed(0)
    layer.running_mean.copy_(torch.randn(4, generator=generator))
    layer.running_var.copy_(torch.rand(4, generator=generator) + 0.5)
    return layer.eval(), torch.randn(*shape, generator=generator)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3), (1, 4, 3)])
def test_a_1d_layer_takes_the_batch_in_either_mode_and_keeps_nothing(shape):
    layer, x = lived_in(nn.BatchNorm1d(4), *shape)
    expected = copy.deepcopy(layer).train()(x)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    use_batch_statistics(layer)
    for mode in (True, False):
        assert torch.equal(layer.train(mode)(x), expected)
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())


def test_a_single_row_takes_the_source_statistics():
    layer, x = lived_in(nn.BatchNorm1d(4), 1, 4)
    expected = layer(x)
    use_batch_statistics(layer)
    assert torch.equal(layer.train()(x), expected)


@pytest.mark.parametrize(
    ("make", "shape"), [(nn.BatchNorm1d, (6, 4)), (nn.BatchNorm2d, (6, 4, 2, 2))]
)
def test_robust_statistics_mix_in_training_and_stay_in_eval(make, shape):
    layer, x = lived_in(make(4), *shape)
    plain, mean = layer(x), layer.running_mean.clone()
    use_robust_statistics(layer, 0.25)
    assert isinstance(layer, make)
    assert torch.allclose(layer(x), plain, atol=1e-6)
    assert torch.equal(layer.running_mean, mean)
    layer.train()(x)
    batch_mean = x.transpose(0, 1).flatten(1).mean(1)
    assert torch.allclose(layer.running_mean, 0.75 * mean + 0.25 * batch_mean)


FORMS = {
    "batch": use_batch_statistics,
    "mixed": lambda model: mix_statistics(model, 0.25),
    "robust": lambda model: use_robust_statistics(model, 0.25),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_the_activation_inside_of_a_timm_layer_stays(form, training):
    layer, x = lived_in(BatchNormAct2d(4, act_layer=nn.GELU), 6, 4, 2, 2)
    plain, _ = lived_in(nn.BatchNorm2d(4), 6, 4, 2, 2)
    for module in (layer, plain):
        FORMS[form](module)
    expected = nn.functional.gelu(plain.train(training)(x))
    assert torch.equal(layer.train(training)(x), expected)


class Doubled(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


class DoubledRows(nn.BatchNorm1d):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("form", "make"), [("mixed", Doubled), ("robust", Doubled), ("batch", DoubledRows)]
)
def test_a_layer_whose_own_forward_would_be_lost_is_refused(form, make):
    with pytest.raises(ValueError, match=f"got a {make.__name__} with a forward of its own"):
        FORMS[form](make(4))


def bottleneck(model):
    """Convolution, pooling, linear map, BatchNorm1d, head; of the precision of ``model``."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 5),
        )  # fmt: skip
    made = WrappedModel(module.eval(), name="bottleneck", image_shape=(3, 16, 16))
    return made.to(next(model.parameters()).dtype)


ROTTA = {
    "max_memory": 4,
    "update_every": 4,
    "ema_decay": 0.9,
    "bn_momentum": 0.1,
    "age_weight": 1.0,
    "uncertainty_weight": 1.0,
}


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Tent(bottleneck(model), optimizer=SGD),
        lambda model: RoTTA(bottleneck(model), optimizer=SGD, **ROTTA),
    ],
    ids=["tent", "rotta"],
)
def test_methods_keep_the_contract_over_a_bottleneck_and_train_it(make):
    check_method(make)
    method = make(nn.Linear(1, 1))
    before = method.model.module[5].bias.clone()
    for _ in range(3):
        method(torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(method.model.module[5].bias, before)
