"""Wrong versions of LAME."""

from __future__ import annotations

from unittest.mock import patch

from mutant import Mutant
from torch.nn import functional as F

from ctta.methods.lame import LAME
from ctta.parts import affinity


def other(name, function):
    """A patch that puts another affinity in the place of ``name``."""
    return lambda: patch.dict(affinity.AFFINITIES, {name: function})


def knn_with_oneself(features, n_neighbors):
    near = affinity.distances(features).topk(n_neighbors, largest=False).indices
    return features.new_zeros(len(features), len(features)).scatter_(1, near, 1)


def rbf_without_oneself(features, n_neighbors):
    return affinity.rbf(features, n_neighbors + 1)


def rbf_no_diagonal(features, n_neighbors):
    return affinity.rbf(features, n_neighbors).fill_diagonal_(0)


def linear_no_diagonal(features, n_neighbors):
    return affinity.linear(features, n_neighbors).fill_diagonal_(0)


class Unnormalised(LAME):
    def adapt(self, x):
        with patch.object(F, "normalize", lambda features: features):
            return super().adapt(x)


class NeverSymmetric(LAME):
    def __init__(self, model, *, force_symmetry, **rest):
        super().__init__(model, force_symmetry=False, **rest)


class LooseStop(LAME):
    def __init__(self, model, *, tolerance, **rest):
        super().__init__(model, tolerance=1e-4, **rest)


class OneUpdate(LAME):
    def __init__(self, model, *, max_iterations, **rest):
        super().__init__(model, max_iterations=1, **rest)


class TwiceThePairs(LAME):
    def __init__(self, model, *, pairwise_weight, **rest):
        super().__init__(model, pairwise_weight=2 * pairwise_weight, **rest)


class SoftmaxAgain(LAME):
    def adapt(self, x):
        return super().adapt(x).exp().log_softmax(1)


class BatchStatistics(LAME):
    def adapt(self, x):
        self.model.train()
        return super().adapt(x)


MUTANTS = [
    Mutant("lame", "oneself among the neighbours", LAME, other("knn", knn_with_oneself)),
    Mutant("lame", "width without oneself", LAME, other("rbf", rbf_without_oneself)),
    Mutant("lame", "rbf without diagonal", LAME, other("rbf", rbf_no_diagonal)),
    Mutant("lame", "cosine without diagonal", LAME, other("linear", linear_no_diagonal)),
    Mutant("lame", "features not normalised", Unnormalised),
    Mutant("lame", "never symmetric", NeverSymmetric),
    Mutant("lame", "loose stop", LooseStop),
    Mutant("lame", "one update", OneUpdate),
    Mutant("lame", "pairs count twice", TwiceThePairs),
    Mutant("lame", "softmax of probabilities", SoftmaxAgain),
    Mutant("lame", "batch statistics", BatchStatistics),
]
