"""The posterior against a training that numpy does by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from ctta.data.source import SourceData
from ctta.parts.posterior import SwagRecipe, fit_posterior

CPU = torch.device("cpu")


def linear(dropout=0.0):
    """Softmax regression on images [3,2,2], in double precision."""
    module = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(12, 4))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return module.double().train()


def source(n=21):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 3, 2, 2, generator=generator, dtype=torch.float64)
    return SourceData(images, torch.arange(n) % 4, identity="noise")


def snapshots(module, data, recipe):
    """Weights [4,13] (bias last) after each epoch: SGD with momentum, written out."""
    weights = torch.cat([module[2].weight, module[2].bias[:, None]], 1).detach().numpy().copy()
    x = np.c_[data.images.flatten(1).numpy(), np.ones(len(data))]
    target = np.eye(4)[data.labels]
    velocity, found = 0, []
    generator = torch.Generator().manual_seed(0)
    for epoch in range(recipe.epochs):
        lr = np.interp(epoch, [0, 3], [recipe.first_lr, recipe.last_lr])
        order = torch.randperm(len(data), generator=generator).numpy()
        for start in range(0, len(data), recipe.batch_size):
            own = order[start : start + recipe.batch_size]
            scores = np.exp(x[own] @ weights.T)
            error = scores / scores.sum(1, keepdims=True) - target[own]
            gradient = error.T @ x[own] / len(own) + recipe.weight_decay * weights
            velocity = recipe.momentum * velocity + gradient
            weights = weights - lr * velocity
        found.append(weights)
    return np.array(found)


@pytest.mark.parametrize("epochs", [2, 3, 6])
@pytest.mark.parametrize("batch_size", [5, 21, 100])
def test_mean_and_variance_are_those_of_the_snapshots(epochs, batch_size):
    recipe = SwagRecipe(epochs, batch_size, first_lr=0.5, last_lr=0.1)
    module, data = linear(), source()
    mean, variance = fit_posterior(module, data, recipe, CPU)
    kept = snapshots(module, data, recipe)[1:]  # the first epoch leaves none
    for found, expected in ((mean, kept.mean(0)), (variance, kept.var(0))):
        together = torch.cat([found["2.weight"], found["2.bias"][:, None]], 1)
        np.testing.assert_allclose(together, expected, rtol=1e-9, atol=1e-13)


def test_one_snapshot_has_no_variance():
    _, variance = fit_posterior(linear(), source(), SwagRecipe(2, 5, 0.5, 0.1), CPU)
    assert all(v.abs().max() < 1e-14 for v in variance.values())


def test_one_sample_is_enough():
    mean, variance = fit_posterior(linear(), source(1), SwagRecipe(4, 5, 0.5, 0.1), CPU)
    assert all(value.isfinite().all() for value in (*mean.values(), *variance.values()))


def test_the_model_and_the_global_generator_stay_as_they_are():
    module = linear(dropout=0.5).requires_grad_(False)
    before = {name: p.clone() for name, p in module.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():
        fit_posterior(module, source(), SwagRecipe(3, 5, 0.5, 0.1), CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, before[name]) for name, p in module.state_dict().items())
    assert module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_statistics_of_batch_norm_are_not_trained_but_its_weights_are():
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4)).double()
    mean, _ = fit_posterior(module, source(), SwagRecipe(3, 5, 0.5, 0.1), CPU)
    assert list(mean) == [name for name, _ in module.named_parameters()]
    assert not torch.equal(mean["0.weight"], module[0].weight)


def test_the_rate_falls_over_three_epochs_and_stays():
    recipe = SwagRecipe(6, 1, first_lr=0.8, last_lr=0.2)
    rates = [recipe.lr(epoch) for epoch in range(6)]
    np.testing.assert_allclose(rates, [0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
