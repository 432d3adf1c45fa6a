"""Ranks and tests against SciPy, against Demšar's worked example, and against all signs."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from ctta.results.significance import (
    chi_squared_tail,
    cliques,
    critical_difference,
    friedman,
    holm,
    mean_ranks,
    range_quantile,
    shared_ranks,
    told_apart_by_ranks,
    told_apart_in_pairs,
    wilcoxon,
)

DRAW = np.random.Generator(np.random.PCG64(0))


def errors(n, k, *, ties=False):
    values = DRAW.normal(size=(n, k)) + np.linspace(0, 1, k)
    return np.round(values, 0 if ties else 12)


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_are_scipys(ties):
    values = errors(9, 7, ties=ties)
    assert np.array_equal(shared_ranks(values[0]), stats.rankdata(values[0]))
    assert np.allclose(mean_ranks(values), stats.rankdata(values, axis=1).mean(0))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "k"), [(4, 3), (15, 6), (15, 19)])
def test_friedman_is_scipys(n, k, ties):
    values = errors(n, k, ties=ties)
    expected = stats.friedmanchisquare(*values.T)
    statistic, p = friedman(values)
    assert statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert p == pytest.approx(expected.pvalue, rel=1e-8)


def test_friedman_of_equal_methods_tells_nothing():
    assert friedman(np.ones((5, 3))) == (0.0, 1.0)


@pytest.mark.parametrize("n_free", [1, 2, 3, 4, 17, 18])
@pytest.mark.parametrize("x", [0.0, 0.3, 5.0, 60.0])
def test_the_tail_of_chi_squared_is_scipys(n_free, x):
    assert chi_squared_tail(x, n_free) == pytest.approx(stats.chi2.sf(x, n_free), rel=1e-10)


@pytest.mark.parametrize("k", [2, 3, 5, 10, 19])
def test_the_quantile_of_the_range_is_scipys(k):
    expected = stats.studentized_range.ppf(0.95, k, math.inf)
    assert range_quantile(0.95, k) == pytest.approx(expected, rel=1e-6)


def test_the_critical_difference_is_that_of_the_papers_example():
    # Demšar's section 3.2.2: four classifiers, 14 data sets, q = 2.569.
    assert range_quantile(0.95, 4) / math.sqrt(2) == pytest.approx(2.569, abs=5e-4)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


@pytest.mark.parametrize("n", [3, 8, 15, 25])
def test_wilcoxon_is_scipys(n):
    first, second = DRAW.normal(size=n), DRAW.normal(0.5, size=n)
    expected = stats.wilcoxon(first, second, method="exact").pvalue
    assert wilcoxon(first, second) == pytest.approx(expected, rel=1e-10)


def test_wilcoxon_with_ties_counts_all_signs():
    difference = np.array([1.0, -1.0, 2.0, 2.0, 3.0, 0.0, 3.0, 3.0])
    ranks = stats.rankdata(np.abs(difference[difference != 0]))
    sums = [np.dot(signs, ranks) for signs in product([0, 1], repeat=7)]
    own = min(ranks[0:1].sum(), ranks[1:2].sum())  # only one is negative
    expected = 2 * np.mean(np.array(sums) <= own)
    assert wilcoxon(difference, np.zeros(8)) == pytest.approx(expected, rel=1e-12)
    assert wilcoxon(np.ones(4), np.ones(4)) == 1.0


def test_holm_is_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_what_is_told_apart_and_what_is_not():
    values = DRAW.normal(0, 0.01, size=(15, 4)) + np.array([0, 0, 5, 9.0])
    apart = told_apart_in_pairs(values)
    expected = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], bool)
    assert np.array_equal(apart, expected)
    ranks = mean_ranks(values)
    assert sorted(cliques(ranks, apart)[0]) == [0, 1] and len(cliques(ranks, apart)) == 1
    by_ranks = told_apart_by_ranks(values)
    assert by_ranks[0, 3] and not by_ranks[0, 1] and np.array_equal(by_ranks, by_ranks.T)


def test_cliques_are_the_longest_and_none_is_within_another():
    apart = np.zeros((4, 4), bool)
    apart[0, 2] = apart[2, 0] = apart[0, 3] = apart[3, 0] = True
    assert cliques(np.array([1.0, 2.0, 3.0, 4.0]), apart) == [[0, 1], [1, 2, 3]]
    assert cliques(np.arange(3.0), np.ones((3, 3), bool)) == []
