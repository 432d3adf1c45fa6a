"""The quantile against numpy, the mask against a sort."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ctta.kernels.reference import quantile
from ctta.parts.fisher_mask import FisherMask

levels = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.7, 1.0])


def parameters(*gradients):
    """name -> parameter with that gradient; None: without one, of two elements."""
    made = {}
    for i, gradient in enumerate(gradients):
        shape = (2,) if gradient is None else np.shape(gradient)
        made[f"p{i}"] = nn.Parameter(torch.ones(shape, dtype=torch.float64))
        if gradient is not None:
            made[f"p{i}"].grad = torch.as_tensor(gradient, dtype=torch.float64)
    return made


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), levels)
def test_the_quantile_is_that_of_numpy(values, level):
    found = quantile(torch.tensor(values, dtype=torch.float64), level)
    np.testing.assert_allclose(found, np.quantile(values, level), rtol=1e-9, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), levels)
def test_the_mask_keeps_what_is_strictly_below(values, level):
    mask = FisherMask(parameters(np.array(values, dtype=float)), level)
    squares = np.square(values)
    threshold = np.quantile(squares, level)
    clear = abs(squares - threshold) > 1e-9  # a rounding decides no tie here
    np.testing.assert_array_equal(mask.flat.numpy()[clear], (squares < threshold)[clear])
    assert not mask.flat[mask.squares >= mask.threshold].any()


def test_it_is_one_quantile_over_the_whole_network():
    mask = FisherMask(parameters([[3.0, -1.0], [0.5, 2.0]], None, [10.0]), 0.5)
    # The squares in order: 0 0 0.25 1 4 9 100.
    assert mask.threshold == 1
    named = mask.by_name()
    assert list(named) == ["p0", "p1", "p2"]
    assert named["p0"].tolist() == [[False, False], [True, False]]
    assert named["p1"].tolist() == [True, True]
    assert named["p2"].tolist() == [False]


def test_nothing_is_below_a_threshold_of_zero():
    assert not FisherMask(parameters([0.0, 0.0, 0.0, 5.0]), 0.5).flat.any()
    assert not FisherMask(parameters(None), 1.0).flat.any()


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_one_element_is_never_below_itself(level):
    mask = FisherMask(parameters(3.0), level)
    assert mask.threshold == 9
    assert not mask.by_name()["p0"]


def test_a_level_of_one_leaves_only_the_largest():
    mask = FisherMask(parameters([1.0, -4.0, 4.0, 2.0]), 1.0)
    assert mask.flat.tolist() == [True, False, False, True]
