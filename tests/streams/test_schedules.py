"""Each schedule by the properties that its source gives it."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ctta.streams.dirichlet import correlated_note, correlated_rotta, in_chunks
from ctta.streams.label_shift import label_shift
from ctta.streams.markov import Chain, markov
from ctta.streams.schedules import (
    classes_of,
    continually_changing,
    correlated,
    mixed,
    one_after_the_other,
)
from ctta.streams.settings import SETTINGS

PARAMETERS = {
    "correlated_note": {"concentration": 0.3, "smallest_chunk": 0},
    "mixed_correlated_note": {"concentration": 0.3, "smallest_chunk": 0},
    "correlated_rotta": {"concentration": 0.3},
    "cdc": {"batch_size": 3},
}
ONCE = sorted(set(SETTINGS) - {"label_shift", "markov"})

domains = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(
    lambda sizes: [np.arange(n) * 7 % 5 % 3 for n in sizes]
)
seeds = st.integers(0, 2**31)


def pcg(seed):
    return np.random.Generator(np.random.PCG64(seed))


@given(setting=st.sampled_from(ONCE), labels=domains, shuffle=st.booleans(), seed=seeds)
@settings(max_examples=150, deadline=None)
def test_every_sample_comes_exactly_once(setting, labels, shuffle, seed):
    made = SETTINGS[setting].schedule(labels, pcg(seed), shuffle, **PARAMETERS.get(setting, {}))
    seen = [pair for d, i in made for pair in zip(d.tolist(), i.tolist(), strict=True)]
    assert sorted(seen) == [(d, i) for d, own in enumerate(labels) for i in range(len(own))]
    if setting in ("continual", "correlated", "correlated_note", "gradual", "reset_each"):
        assert [set(d.tolist()) for d, _ in made] == [{d} for d in range(len(labels))]
    if setting in ("correlated", "mixed_correlated", "gradual_correlated"):
        assert all((np.diff(classes_of(labels, s)) >= 0).all() for s in made)


def test_correlated_keeps_the_shuffled_order_inside_a_class():
    labels = [np.array([1, 0, 1, 0, 1, 0])]
    plain = one_after_the_other(labels, pcg(1), True)[0][1]
    ((_, order),) = correlated(labels, pcg(1), True)
    assert order.tolist() == [i for c in (0, 1) for i in plain if labels[0][i] == c]


def in_file_order_within_classes(labels, segments):
    """Whether each (domain, class) comes with ascending indices."""
    for domain, own in enumerate(labels):
        index = np.concatenate([i[d == domain] for d, i in segments])
        for kind in np.unique(own):
            if (np.diff(index[own[index] == kind]) < 0).any():
                return False
    return True


@given(setting=st.sampled_from(["correlated_note", "correlated_rotta"]), labels=domains, seed=seeds)
@settings(max_examples=60, deadline=None)
def test_dirichlet_forms_cut_classes_and_leave_their_order(setting, labels, seed):
    schedule = SETTINGS[setting].schedule
    made = schedule(labels, pcg(seed), False, **PARAMETERS[setting])
    assert in_file_order_within_classes(labels, made)
    if setting == "correlated_rotta":
        ((domain, _),) = made
        assert (np.diff(domain) >= 0).all()


@given(n_classes=st.integers(1, 12), n=st.integers(1, 400), alpha=st.floats(0.01, 5), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_no_chunk_of_the_note_form_takes_a_class_when_it_is_full(n_classes, n, alpha, seed):
    """It may overflow by one class's samples and by no more."""
    assume(n >= n_classes)
    classes = np.sort(np.arange(n) % n_classes)
    sizes = []
    real = np.lexsort

    def spy(keys):
        sizes.append(np.bincount(keys[1]))
        return real(keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "lexsort", spy)
        order = in_chunks(classes, pcg(seed), alpha, 0)
    assert sorted(order.tolist()) == list(range(n))
    assert max(sizes[0]) < n / n_classes + np.bincount(classes).max()


def label_changes(classes):
    return int((np.diff(classes) != 0).sum())


def test_a_small_concentration_correlates_and_a_large_one_does_not():
    labels = [np.arange(1000) % 10]
    for schedule, extra in ((correlated_note, {"smallest_chunk": 10}), (correlated_rotta, {})):
        changes = [
            label_changes(labels[0][schedule(labels, pcg(0), True, concentration=c, **extra)[0][1]])
            for c in (0.1, 1.0, 1000.0)
        ]
        assert changes[0] < 50 < changes[1] <= changes[2] <= 99
        assert changes[2] > 85  # ten blocks of ten in ten chunks, all classes in each


def test_the_two_dirichlet_forms_differ_in_balance():
    labels = [np.arange(1000) % 10]
    streams = [
        correlated_note(labels, pcg(3), False, concentration=0.1, smallest_chunk=0),
        correlated_rotta(labels, pcg(3), False, concentration=0.1),
    ]
    assert not np.array_equal(streams[0][0][1], streams[1][0][1])


def test_equal_domains_get_one_order_in_the_note_form_and_new_ones_in_the_rotta_form():
    labels = [np.arange(40) % 4] * 2
    a, b = correlated_note(labels, pcg(0), True, concentration=0.3, smallest_chunk=0)
    assert np.array_equal(a[1], b[1])
    ((domain, index),) = correlated_rotta(labels, pcg(0), True, concentration=0.3)
    assert not np.array_equal(index[domain == 0], index[domain == 1])


def test_at_most_a_hundred_slots():
    labels = [np.arange(3000) % 150]
    ((_, index),) = correlated_rotta(labels, pcg(0), False, concentration=1e6)
    # 20 samples of a class over 100 slots: every fifth slot holds one of each class.
    per_slot = labels[0][index].reshape(20, 150)
    assert all(len(set(row)) == 150 for row in per_slot.tolist())


@given(labels=domains, batch_size=st.integers(1, 5), seed=seeds)
@settings(max_examples=80, deadline=None)
def test_cdc_gives_whole_batches_of_one_domain_until_its_last(labels, batch_size, seed):
    ((domain, index),) = continually_changing(labels, pcg(seed), True, batch_size=batch_size)
    given_ = [0] * len(labels)
    for run in np.split(np.arange(len(domain)), np.flatnonzero(np.diff(domain)) + 1):
        own = domain[run[0]]
        given_[own] += len(run)
        assert given_[own] % batch_size == 0 or given_[own] == len(labels[own])
    ((domain, index),) = continually_changing(labels, pcg(seed), False, batch_size=batch_size)
    assert in_file_order_within_classes(labels, [(domain, index)])


def test_cdc_mixes_the_order_of_domains_and_permutes_each_by_itself():
    labels = [np.zeros(64, np.int64)] * 5
    ((domain, index),) = continually_changing(labels, pcg(0), True, batch_size=4)
    assert label_changes(domain) > 8
    assert len({tuple(index[domain == d]) for d in range(5)}) == 5


@given(
    labels=domains,
    ratio=st.floats(1, 1e6),
    draws=st.integers(1, 9),
    shuffle=st.booleans(),
    seed=seeds,
)
@settings(max_examples=60, deadline=None)
def test_label_shift_gives_each_class_its_turn(labels, ratio, draws, shuffle, seed):
    made = label_shift(labels, pcg(seed), shuffle, imbalance_ratio=ratio, draws_per_class=draws)
    for own, (_, index) in zip(labels, made, strict=True):
        assert len(index) == draws * len(np.unique(own))
        assert ((index >= 0) & (index < len(own))).all()


def test_label_shift_at_both_ends():
    labels = [np.arange(2000) % 10] * 2

    def classes(ratio, shuffle):
        made = label_shift(labels, pcg(0), shuffle, imbalance_ratio=ratio, draws_per_class=200)
        assert np.array_equal(made[0][1], made[1][1])
        assert len(np.unique(made[0][1])) > 1000  # images of a class differ
        return labels[0][made[0][1]].reshape(10, 200)

    pure = classes(500_000, False)
    assert (pure == np.arange(10)[:, None]).mean() > 0.999
    turns = np.median(classes(500_000, True), axis=1).astype(int).tolist()
    assert sorted(turns) == list(range(10)) != turns
    half = classes(9, False)  # probability 9 / 18 for the class whose turn it is
    share = (half == np.arange(10)[:, None]).mean()
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / 2000)
    others = np.bincount(half[half != np.arange(10)[:, None]], minlength=10)
    assert others.min() > 60
    uniform = np.bincount(classes(1, False).ravel(), minlength=10)
    assert abs(uniform - 200).max() < 60


@given(
    n=st.integers(1, 20),
    stay=st.none() | st.floats(0.01, 1),
    imbalance=st.floats(1, 20),
)
@settings(max_examples=200, deadline=None)
def test_a_chain_has_its_shares_where_it_can(n, stay, imbalance):
    chain = Chain.made("class", n, stay, imbalance)
    np.testing.assert_allclose(chain.transition.sum(1), 1)
    assert (chain.transition >= -1e-12).all()
    assert chain.share[0] / chain.share[-1] == pytest.approx(imbalance if n > 1 else 1)
    wanted = 1 / n if stay is None else stay
    if n > 1:
        assert chain.transition.diagonal().max() == pytest.approx(wanted)
    if chain.stationary:
        np.testing.assert_allclose(chain.share @ chain.transition, chain.share)


def walked(n_domains=3, n_classes=4, seed=0, **changes):
    labels = [np.arange(40) % n_classes] * n_domains
    parameters = {
        "domain_correlation": None,
        "domain_imbalance": 1,
        "class_correlation": None,
        "class_imbalance": 1,
        "samples_per_state": 30,
    }
    ((domain, index),) = markov(labels, pcg(seed), True, **{**parameters, **changes})
    kind = labels[0][index]
    counts = np.zeros((n_domains, n_classes), int)
    np.add.at(counts, (domain, kind), 1)
    return domain, kind, index, counts


def test_a_balanced_walk_ends_when_one_state_is_used_up():
    domain, kind, _, counts = walked()
    assert counts.max() == counts[domain[-1], kind[-1]] == 30
    assert (counts == 30).sum() == 1
    assert (domain[0], kind[0]) == (0, 0)


def test_the_walk_stays_as_often_as_it_is_told():
    domain, kind, _, _ = walked(
        n_domains=5, domain_correlation=0.85, class_correlation=0.95, samples_per_state=2000
    )
    assert (np.diff(domain) == 0).mean() == pytest.approx(0.85, abs=0.02)
    assert (np.diff(kind) == 0).mean() == pytest.approx(0.95, abs=0.01)
    domain, kind, _, _ = walked(n_domains=5, samples_per_state=2000)
    assert (np.diff(domain) == 0).mean() == pytest.approx(1 / 5, abs=0.02)
    assert (np.diff(kind) == 0).mean() == pytest.approx(1 / 4, abs=0.02)


def test_domains_that_never_leave_come_in_order_each_until_it_is_used_up():
    domain, _, _, counts = walked(domain_correlation=1, domain_imbalance=3)
    assert (np.diff(domain) >= 0).all()
    assert counts.sum(1).tolist() == [120, 4 * 17, 40]  # 30, 30 / sqrt(3) and 10 of each class


def test_classes_that_never_leave_come_in_order():
    _, kind, _, counts = walked(class_correlation=1)
    assert (np.diff(kind) >= 0).all()
    assert counts.sum(0).tolist() == [90] * 4


@pytest.mark.parametrize("domain_correlation", [None, 1])
def test_imbalance_that_transitions_cannot_give_is_given_by_closing(domain_correlation):
    _, _, _, counts = walked(
        domain_correlation=domain_correlation, domain_imbalance=5, class_imbalance=10
    )
    share = np.outer(*(np.geomspace(1, 1 / r, n) for r, n in ((5, 3), (10, 4))))
    np.testing.assert_array_equal(counts, np.round(30 * share))


def test_imbalance_by_transitions():
    _, _, _, counts = walked(
        class_correlation=0.87, class_imbalance=5, samples_per_state=20_000, n_domains=1
    )
    by_class = counts[0] / counts.sum()
    expected = np.geomspace(1, 1 / 5, 4)
    np.testing.assert_allclose(by_class, expected / expected.sum(), atol=0.03)


def test_images_of_a_state_start_over_when_they_are_used_up():
    domain, kind, index, _ = walked(samples_per_state=25)
    own = index[(domain == domain[-1]) & (kind == kind[-1])]
    assert len(own) == 25
    assert len(set(own[:10].tolist())) == 10
    assert own[:10].tolist() == own[10:20].tolist()


def test_a_domain_without_a_class_is_refused():
    with pytest.raises(ValueError, match="expected images of every class in every domain"):
        SETTINGS["markov"].schedule(
            [np.array([0, 1]), np.array([0, 0])],
            pcg(0),
            True,
            domain_correlation=None,
            domain_imbalance=1,
            class_correlation=None,
            class_imbalance=1,
            samples_per_state=1,
        )


def test_mixing_meets_all_domains_early():
    ((domain, _),) = mixed([np.zeros(100, np.int64)] * 5, pcg(0), True)
    assert set(domain[:50].tolist()) == set(range(5))


def test_only_one_chain_can_be_in_order():
    with pytest.raises(ValueError, match="class_correlation: expected below 1 with domain_corr"):
        walked(domain_correlation=1, class_correlation=1)
