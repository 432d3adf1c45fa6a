"""How alike the samples of a batch are: W [B,B] from unit features [B,D]."""

from collections.abc import Callable

import torch
from torch import Tensor


def distances(features: Tensor) -> Tensor:
    """Euclidean, [B,B], without a [B,B,D] temporary.

    The form through a matrix product would be faster, but its rounding swaps near neighbours.
    """
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def knn(features: Tensor, n_neighbors: int) -> Tensor:
    """1 in row i for the nearest neighbours of i, without the nearest one, which is i itself."""
    near = distances(features).topk(min(n_neighbors + 1, len(features)), largest=False).indices
    return features.new_zeros(len(features), len(features)).scatter_(1, near[:, 1:], 1)


def rbf(features: Tensor, n_neighbors: int) -> Tensor:
    """Gaussian; its width is the mean distance to the k-th nearest, oneself being the first."""
    far = distances(features)
    width = far.topk(min(n_neighbors, len(far)), largest=False).values[:, -1].mean()
    # Equal images have no width: then they are alike, and nothing else is.
    return (-far.square() / (2 * width.square()).clamp_min(torch.finfo(far.dtype).tiny)).exp()


def linear(features: Tensor, n_neighbors: int) -> Tensor:
    """Cosine similarity; the number of neighbours has no part in it."""
    return features @ features.T


AFFINITIES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "knn": knn,
    "rbf": rbf,
    "linear": linear,
}
