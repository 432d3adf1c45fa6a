"""Several methods over several data sets: mean ranks, and which of them are told apart.

Source: J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006,
sections 3.1.3 (Wilcoxon), 3.2.2 (Friedman, Nemenyi) and 3.2.4 (Holm).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ALPHA = 0.05


def mean_ranks(errors: Floats) -> Floats:
    """Mean over the data sets of each method's rank, 1 for the lowest error, [methods].

    Args:
        errors: [data sets, methods]; equal ones share the mean of their ranks.
    """
    return np.asarray(np.mean([shared_ranks(row) for row in errors], axis=0))


def shared_ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[group], dtype=np.float64)


def friedman(errors: Floats) -> tuple[float, float]:
    """Friedman's statistic, corrected for ties, and its p under equal methods.

    Source of the correction: W. J. Conover, Practical Nonparametric Statistics, 3rd ed., 5.8,
    equation 3. p is of the chi-squared distribution with k - 1 degrees of freedom.

    Args:
        errors: [n data sets, k methods], both at least 2.
    """
    n, k = errors.shape
    ranks = np.array([shared_ranks(row) for row in errors])
    spread = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if spread == 0:  # all are equal everywhere
        return 0.0, 1.0
    between = float(((ranks.sum(0) - n * (k + 1) / 2) ** 2).sum())
    statistic = (k - 1) * between / spread
    return statistic, chi_squared_tail(statistic, k - 1)


def chi_squared_tail(x: float, n_free: int) -> float:
    """P(X > x) of the chi-squared distribution.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 (odd degrees of
    freedom) and 26.4.5 (even).
    """
    if x <= 0:
        return 1.0
    half = x / 2
    if n_free % 2:
        terms = ((i + 0.5) * math.log(half) - math.lgamma(i + 1.5) for i in range(n_free // 2))
        return math.erfc(math.sqrt(half)) + sum(math.exp(t - half) for t in terms)
    terms = (i * math.log(half) - math.lgamma(i + 1) for i in range(n_free // 2))
    return sum(math.exp(t - half) for t in terms)


def critical_difference(n_methods: int, n_sets: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: mean ranks further apart than this are told apart; Demšar's section 3.2.2."""
    q = range_quantile(1 - alpha, n_methods) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_sets))


def range_quantile(probability: float, k: int) -> float:
    """Quantile of the range of k independent standard normal draws (studentized, no free variance).

    Its distribution function is k times the integral over z of phi(z) (Phi(z) - Phi(z - q))^(k-1).
    Source: H. L. Harter, "Tables of Range and Studentized Range", Ann. Math. Statist. 31, 1960,
    equation 1; the integral by the trapezoidal rule, inverted by bisection.
    """
    z = np.linspace(-9, 9, 3601)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = normal(z)

    def distribution(q: float) -> float:
        inner = np.clip(below - normal(z - q), 0, 1) ** (k - 1)
        return float(k * np.sum(density * inner) * (z[1] - z[0]))

    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if distribution(middle) < probability:
            low = middle
        else:
            high = middle
    return low


def normal(z: Floats) -> Floats:
    """Distribution function of the standard normal distribution."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z])


def wilcoxon(first: Floats, second: Floats) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact given the sizes of the differences.

    Pairs without a difference are left out, equal sizes share a rank, and all signs of the others
    are equally likely; their sums of ranks are counted, not approximated.

    Source: F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1, 1945.
    """
    difference = np.round(first - second, 9)  # else means that are equal differ in the last bit
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    doubled = np.rint(2 * shared_ranks(np.abs(difference))).astype(int)  # shared ranks may be n/2
    ways = np.ones(1)
    for rank in doubled:  # ways[s]: share of the signs under which the positive ranks sum to s / 2
        grown = np.zeros(len(ways) + rank)
        grown[: len(ways)] += ways / 2
        grown[rank:] += ways / 2
        ways = grown
    positive = int(doubled[difference > 0].sum())
    smaller = min(positive, int(doubled.sum()) - positive)
    return min(1.0, 2 * float(ways[: smaller + 1].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for their number, in the same order.

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statist.
    6, 1979.
    """
    adjusted, most = [0.0] * len(p_values), 0.0
    for place, i in enumerate(np.argsort(p_values, kind="stable")):
        most = max(most, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = most
    return adjusted


def told_apart_by_ranks(errors: Floats) -> NDArray[np.bool_]:
    """[methods, methods]: by Nemenyi's critical difference."""
    ranks, (n, k) = mean_ranks(errors), errors.shape
    return np.asarray(np.abs(ranks[:, None] - ranks) >= critical_difference(k, n))


def told_apart_in_pairs(errors: Floats) -> NDArray[np.bool_]:
    """[methods, methods]: by Wilcoxon's tests of all pairs, adjusted by Holm's procedure."""
    k = errors.shape[1]
    pairs = list(combinations(range(k), 2))
    adjusted = holm([wilcoxon(errors[:, i], errors[:, j]) for i, j in pairs])
    apart = np.zeros((k, k), bool)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        apart[i, j] = apart[j, i] = p < ALPHA
    return apart


def cliques(ranks: Floats, apart: NDArray[np.bool_]) -> list[list[int]]:
    """Longest runs of methods, in the order of their ranks, of which no two are told apart."""
    order = [int(i) for i in np.argsort(ranks, kind="stable")]
    found: list[list[int]] = []
    reached = 0  # methods that an earlier run holds
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not apart[order[start : end + 1], order[end]].any():
            end += 1
        if end > reached and end - start > 1:
            found.append(order[start:end])
        reached = max(reached, end)
    return found
