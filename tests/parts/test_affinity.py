"""Affinities against scikit-learn and scipy."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from sklearn.neighbors import kneighbors_graph
from torch.nn import functional as F

from ctta.parts.affinity import AFFINITIES, distances, knn, linear, rbf


def features(n=40, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, width, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("k", [1, 3, 39])
def test_nearest_neighbours_are_those_of_scikit_learn(k):
    x = features()
    expected = kneighbors_graph(x.numpy(), k, include_self=False).toarray()
    np.testing.assert_array_equal(knn(x, k), expected)


def test_near_neighbours_are_told_apart_in_float32():
    # Steps of 1e-4 on the circle: 1 - cos is below what float32 resolves near 1.
    angles = torch.arange(20, dtype=torch.float64).cumsum(0) * 1e-4
    x = torch.stack([angles.cos(), angles.sin()], 1).float()
    expected = kneighbors_graph(x.double().numpy(), 2, include_self=False).toarray()
    np.testing.assert_array_equal(knn(x, 2), expected)


def test_more_neighbours_than_samples_are_all_the_others():
    x = features(4)
    assert torch.equal(knn(x, 10), 1 - torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("k", [1, 2, 5, 40, 100])
def test_the_kernel_is_that_of_its_width(k):
    x = features()
    # The k-th nearest, oneself being the first.
    width = np.sort(cdist(x, x), axis=1)[:, min(k, 40) - 1].mean()
    if k == 1:  # no width at all: each is like itself alone
        assert torch.equal(rbf(x, k), torch.eye(40, dtype=torch.float64))
    else:
        expected = rbf_kernel(x.numpy(), gamma=1 / (2 * width**2))
        np.testing.assert_allclose(rbf(x, k), expected, atol=1e-12)


def test_linear_is_the_cosine():
    x = features()
    np.testing.assert_allclose(linear(x, 5), cosine_similarity(x.numpy()), atol=1e-12)


def test_distances_are_euclidean():
    x = features()
    np.testing.assert_allclose(distances(x), cdist(x, x), atol=1e-12)


@pytest.mark.parametrize("name", AFFINITIES)
def test_one_sample_and_equal_samples_stay_finite(name):
    assert AFFINITIES[name](features(1), 5).shape == (1, 1)
    equal = features(1).expand(6, -1)
    affinity = AFFINITIES[name](equal, 3)
    assert affinity.isfinite().all()
    if name == "knn":
        assert affinity.sum(1).tolist() == [3] * 6
    else:
        torch.testing.assert_close(affinity, torch.ones(6, 6, dtype=torch.float64))


@pytest.mark.parametrize("name", AFFINITIES)
def test_the_order_of_the_batch_does_not_matter(name):
    x, order = features(), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    whole = AFFINITIES[name](x, 4)
    torch.testing.assert_close(AFFINITIES[name](x[order], 4), whole[order][:, order])
