"""The contrastive loss against a sum over pairs, the projector's draws."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ctta.parts.contrastive import contrastive_loss, make_projector


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def by_pairs(features, temperature):
    """The loss as it is printed: for each view, over its positives, one logarithm a pair."""
    n, n_views, _ = features.shape
    z = features / np.linalg.norm(features, axis=-1, keepdims=True)
    views = [(i, v) for i in range(n) for v in range(n_views)]
    terms = []
    for i, v in views:
        share = {
            (j, w): math.exp(z[i, v] @ z[j, w] / temperature) for j, w in views if (j, w) != (i, v)
        }
        total = sum(share.values())
        own = [-math.log(share[i, w] / total) for w in range(n_views) if w != v]
        terms.append(sum(own) / len(own))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("n", "n_views"), [(1, 2), (5, 2), (4, 3), (2, 5)])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_the_loss_is_the_sum_over_pairs(n, n_views, temperature):
    x = drawn(n, n_views, 6)
    loss = contrastive_loss(x, nn.Identity(), temperature)
    assert loss.item() == pytest.approx(by_pairs(x.numpy(), temperature), rel=1e-10)


def test_one_sample_of_two_views_has_nothing_to_be_told_from():
    assert contrastive_loss(drawn(1, 2, 6), nn.Identity(), 0.1) == 0


def test_equal_features_cost_the_logarithm_of_the_others():
    loss = contrastive_loss(torch.ones(4, 3, 5, dtype=torch.float64), nn.Identity(), 0.1)
    assert loss.item() == pytest.approx(math.log(11))


def test_samples_far_apart_with_equal_views_cost_nothing():
    x = torch.eye(4, dtype=torch.float64)[:, None].expand(-1, 2, -1)
    assert contrastive_loss(x, nn.Identity(), 0.01).item() == pytest.approx(0, abs=1e-12)


def test_small_temperatures_do_not_overflow():
    x = drawn(6, 2, 8).float().requires_grad_()
    loss = contrastive_loss(x, nn.Identity(), 1e-4)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


def test_neither_lengths_nor_orders_matter():
    x = drawn(5, 3, 6)
    whole = contrastive_loss(x, nn.Identity(), 0.2)
    for other in (x * drawn(5, 3, 1).exp(), x.flip(0), x.flip(1)):
        torch.testing.assert_close(contrastive_loss(other, nn.Identity(), 0.2), whole)


def test_the_gradient_is_that_of_the_loss():
    x = drawn(2, 2, 3).requires_grad_()
    projector = make_projector(3, 4, torch.Generator().manual_seed(0)).double()
    assert torch.autograd.gradcheck(lambda v: contrastive_loss(v, projector, 0.5), x)


def test_the_projector_is_drawn_as_torch_draws_a_linear_layer():
    before = torch.get_rng_state()
    first, again = (make_projector(64, 128, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert [type(layer) for layer in first] == [nn.Linear, nn.ReLU, nn.Linear]
    for layer, width in ((first[0], 64), (first[2], 128)):
        for values in (layer.weight, layer.bias):
            scaled = values.detach().flatten().numpy() * math.sqrt(width)
            assert abs(scaled).max() <= 1
            assert stats.kstest(scaled, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
