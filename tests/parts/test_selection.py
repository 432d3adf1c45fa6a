"""Which samples count: bounds, and batches of which none does."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from ctta.parts.losses import entropy
from ctta.parts.selection import loss_or_nan, mean_over, reliable


def test_the_bound_is_a_share_of_the_largest_entropy():
    logits = torch.randn(200, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = reliable(entropy(logits), 0.8, 7)
    expected = scipy_entropy(logits.softmax(1).numpy(), axis=1, base=7) < 0.8
    np.testing.assert_array_equal(kept, expected)
    assert 0 < kept.sum() < 200


def test_the_bound_itself_is_out():
    bound = 0.4 * math.log(10)
    values = torch.tensor([0.0, math.nextafter(bound, 0), bound, 3.0], dtype=torch.float64)
    assert reliable(values, 0.4, 10).tolist() == [True, True, False, False]
    assert not reliable(values, 0.0, 10).any()
    assert not reliable(torch.tensor([math.nan]), 1.0, 10).any()


@pytest.mark.parametrize("kept", [[True, False, True], [False, True, False], [True] * 3])
def test_the_mean_is_over_the_kept_and_so_is_its_gradient(kept):
    values = torch.tensor([1.0, -4.0, 7.5], requires_grad=True)
    mean = mean_over(values, torch.tensor(kept))
    assert mean.item() == pytest.approx(np.mean(values.detach().numpy()[kept]))
    (gradient,) = torch.autograd.grad(mean, values)
    np.testing.assert_allclose(gradient, np.array(kept) / sum(kept))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_nothing_kept_is_zero_with_a_gradient_of_zero(n):
    values = torch.full((n,), math.inf, requires_grad=True)
    kept = torch.zeros(n, dtype=torch.bool)
    mean = mean_over(values, kept)
    mean.backward()
    assert mean == 0
    assert torch.equal(values.grad, torch.zeros(n))
    assert loss_or_nan(mean, kept).isnan()


def test_a_recorded_loss_is_the_loss_without_its_graph():
    loss = torch.tensor(2.5, requires_grad=True)
    recorded = loss_or_nan(loss, torch.tensor([False, True]))
    assert recorded == 2.5
    assert not recorded.requires_grad
