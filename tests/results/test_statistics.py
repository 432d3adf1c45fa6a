"""Intervals against SciPy and simulation; paired differences; ranks."""

import numpy as np
import pytest
from scipy import stats

from ctta.results import statistics
from ctta.results.statistics import (
    Interval,
    by_group,
    compare_paired,
    estimate,
    ranks,
    resampled_means,
    t_quantile,
)


def test_quantiles_of_the_t_distribution():
    freedoms = [*range(1, 40), 99, 100, 500]
    ours = [t_quantile(n) for n in freedoms]
    # SciPy's own quantiles were exact to 4e-11 only in older releases; its distribution is exact.
    np.testing.assert_allclose(stats.t.cdf(ours, freedoms), 0.975, rtol=1e-13)


def check_t_interval(interval, values):
    """Student's 95 % interval of the mean of ``values``."""
    mean, error = np.mean(values), stats.sem(values)
    ends = (np.array([interval.low, interval.high]) - mean) / error
    np.testing.assert_allclose(stats.t.cdf(ends, len(values) - 1), [0.025, 0.975], rtol=1e-12)


def test_runs_of_one_order_have_the_plain_intervals():
    values = np.random.default_rng(0).normal(30, 2, 12)
    found = estimate([values])
    check_t_interval(found.t, values)
    np.testing.assert_allclose((found.mean, found.std), (values.mean(), values.std(ddof=1)))
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=50_000, rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose((found.bootstrap.low, found.bootstrap.high), theirs, atol=0.05)


def test_orders_have_the_interval_of_their_means():
    runs = [[1.0, 2.0, 3.0], [3.0, 4.0], [8.0]]
    found = estimate(runs)
    means = [2.0, 3.5, 8.0]
    check_t_interval(found.t, means)
    assert found.mean == np.mean(means)
    assert found.std == pytest.approx(np.std([1, 2, 3, 3, 4, 8], ddof=1))


def test_the_bootstrap_draws_orders_and_then_runs():
    """The variance of its means is the one of two draws, worked out by hand."""
    runs = [[0.0, 2.0], [4.0, 10.0], [1.0, 1.0]]
    means, within = np.mean(runs, axis=1), np.var(runs, axis=1)
    expected = (np.var(means) + np.mean(within) / 2) / 3
    draws = resampled_means(runs, np.random.default_rng(0))
    assert draws.mean() == pytest.approx(np.mean(means), abs=4 * np.sqrt(expected / len(draws)))
    assert draws.var() == pytest.approx(expected, rel=0.05)


def test_orders_with_unlike_numbers_of_runs_weigh_alike():
    draws = resampled_means([[6.0] * 5, [0.0]], np.random.default_rng(0))
    values, counts = np.unique(draws, return_counts=True)
    np.testing.assert_array_equal(values, [0, 3, 6])
    np.testing.assert_allclose(counts / len(draws), [0.25, 0.5, 0.25], atol=0.02)


def test_one_run_or_one_value_has_no_interval():
    assert estimate([[5.0]]) == statistics.Estimate(5.0, None, None, None)
    assert estimate([[5.0, 5.0], [5.0]]) == statistics.Estimate(5.0, 0.0, None, None)


def test_the_same_runs_have_the_same_interval():
    assert estimate([[1.0, 2.0], [5.0]]) == estimate([[1.0, 2.0], [5.0]])


def errors(rng, n_streams=3, n_runs=2, n_groups=15):
    return [rng.normal(30, 10, (n_runs, n_groups)) for _ in range(n_streams)]


def test_a_constant_difference_has_an_interval_of_no_width():
    first = [e[:1] for e in errors(np.random.default_rng(0))]
    effect = compare_paired([e - 2 for e in first], first, np.ones(15))
    assert effect.mean == pytest.approx(-2)
    assert (effect.interval.low, effect.interval.high) == pytest.approx((-2, -2))
    assert (effect.n_streams, effect.n_groups) == (3, 15)


def test_pairs_over_the_domains_alone_are_a_bootstrap_of_the_differences():
    rng = np.random.default_rng(0)
    first, second = errors(rng, 1, 1), errors(rng, 1, 1)
    effect = compare_paired(first, second, np.ones(15))
    differences = (first[0] - second[0])[0]
    assert effect.mean == pytest.approx(differences.mean())
    theirs = stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=50_000, rng=rng
    ).confidence_interval
    np.testing.assert_allclose((effect.interval.low, effect.interval.high), theirs, atol=0.2)


def test_pairing_takes_out_what_is_hard_for_both():
    rng = np.random.default_rng(0)
    hard = rng.normal(30, 20, (3, 1, 15))
    first, second = (list(hard + rng.normal(shift, 0.3, (3, 2, 15))) for shift in (0, 1))
    effect = compare_paired(first, second, np.ones(15))
    assert effect.interval.low < -1 < effect.interval.high
    assert effect.interval.half < 0.3


def test_groups_weigh_by_their_domains():
    first, second = [np.array([[50.0, 3.0]])], [np.array([[0.0, 0.0]])]
    assert compare_paired(first, second, np.array([5.0, 1.0])).mean == pytest.approx(53 / 6)


def test_nothing_to_draw_again_is_no_interval():
    one = [np.array([[3.0]])]
    assert compare_paired(one, [np.array([[1.0]])], np.ones(1)).interval is None
    assert compare_paired([np.array([[3.0], [4.0]])], one, np.ones(1)).interval is not None


def test_severities_of_a_corruption_are_one_group():
    found = by_group({"fog-1": 1.0, "fog-5": 5.0, "snow-5": 7.0, "night-drive": 2.0, "real": 3.0})
    assert found == {
        "fog": (6.0, 2),
        "snow": (7.0, 1),
        "night-drive": (2.0, 1),
        "real": (3.0, 1),
    }


def test_ranks_tie_where_intervals_overlap():
    chain = [Interval(0, 2), Interval(1, 4), Interval(3, 5), None, Interval(9, 9), Interval(9, 9)]
    assert ranks(chain) == [1, 1, 2, None, 4, 4]


@pytest.mark.parametrize(
    ("n_orders", "n_seeds", "bootstrap"), [(5, 3, 0.895), (3, 3, 0.838), (1, 5, 0.838)]
)
def test_the_interval_covers_as_it_says(monkeypatch, n_orders, n_seeds, bootstrap):
    """Of 1,000 simulated tables; three standard errors of a share of 0.95 are 0.021."""
    monkeypatch.setattr(statistics, "N_RESAMPLES", 300)
    rng, hits = np.random.default_rng(0), np.zeros(2)
    for _ in range(1000):
        orders = rng.normal(0, n_orders > 1, (n_orders, 1))
        found = estimate(list(orders + rng.normal(0, 1, (n_orders, n_seeds))))
        hits += [i.low <= 0 <= i.high for i in (found.t, found.bootstrap)]
    assert hits[0] / 1000 == pytest.approx(0.95, abs=0.021)
    assert hits[1] / 1000 == pytest.approx(bootstrap, abs=0.045)
