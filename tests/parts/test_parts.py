"""Optimizers from nodes, losses, restoration."""

import pytest
import torch
from torch import nn

from ctta.parts.batch_norm import named_weights_and_biases, norm_only
from ctta.parts.losses import entropy, soft_cross_entropy, symmetric_cross_entropy
from ctta.parts.optimizer import make_optimizer, rising
from ctta.parts.restore import RandomRestore, ema_


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "adamm"}, "optimizer.name: expected one of adam, adamw, sgd"),
        ({"name": None}, "optimizer.name"),
        ({"lr": "abc"}, "optimizer.lr: expected a number"),
        ({"lr": -1}, "optimizer.lr"),
        ({"lr": None}, "optimizer.lr: expected a learning rate"),
        ({"lr": float("nan")}, "optimizer.lr"),
        ({"momentum": 0.9}, "optimizer.momentum: adam does not take it"),
        ({"betas": 0.9}, "optimizer.betas: expected two numbers"),
        ({"betas": [0.9, 2]}, "optimizer.betas"),
        ({"amsgrad": 1}, "optimizer.amsgrad: expected true or false"),
    ],
)
def test_optimizer_refuses(change, message):
    node = {"name": "adam", "lr": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        make_optimizer(nn.Linear(2, 2).parameters(), node)


def test_null_is_not_passed():
    node = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "betas": None, "nesterov": True}
    made = make_optimizer(nn.Linear(2, 2).parameters(), node)
    assert isinstance(made, torch.optim.SGD)
    assert made.defaults["nesterov"] is True


def test_losses_against_torch():
    z, t = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    distribution = torch.distributions.Categorical(logits=z)
    assert torch.allclose(entropy(z), distribution.entropy())
    expected = nn.functional.cross_entropy(z, t.softmax(1), reduction="none")
    assert torch.allclose(soft_cross_entropy(z, t), expected)
    assert torch.allclose(symmetric_cross_entropy(z, t), symmetric_cross_entropy(t, z))


def test_restore_draws_its_share():
    layer = nn.Linear(100, 100)
    restore = RandomRestore(dict(layer.named_parameters()), prob=0.3, seed=0)
    start = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1)
    restore(dict(layer.named_parameters()))
    assert 0.27 < (layer.weight == start).float().mean() < 0.33


def test_ema_moves_parameters_and_no_buffers():
    teacher, student = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    nn.init.constant_(student.weight, 3.0)
    student.running_mean.fill_(5.0)
    ema_(dict(teacher.named_parameters()), dict(student.named_parameters()), 0.75)
    assert torch.allclose(teacher.weight, torch.full((2,), 1.5))
    assert torch.equal(teacher.running_mean, torch.zeros(2))


def test_collections_of_parameters():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(2))
            self.norm, self.plain = nn.LayerNorm(2), nn.LayerNorm(2, elementwise_affine=False)
            self.fc = nn.Linear(2, 2)

    model = Odd()
    assert list(named_weights_and_biases(model)) == [
        "norm.weight",
        "norm.bias",
        "fc.weight",
        "fc.bias",
    ]
    assert list(norm_only(model)) == ["norm.weight", "norm.bias"]
    assert [n for n, p in model.named_parameters() if p.requires_grad] == [
        "norm.weight",
        "norm.bias",
    ]


def test_a_rising_rate_ends_where_it_was():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=0.4)
    seen = [[g["lr"] for g in optimizer.param_groups] for _ in rising(optimizer, 4)]
    assert seen == [[0.1] * 2, [0.2] * 2, [0.4 * 3 / 4] * 2, [0.4] * 2]
    assert list(rising(optimizer, 0)) == []
    assert [g["lr"] for g in optimizer.param_groups] == [0.4] * 2
