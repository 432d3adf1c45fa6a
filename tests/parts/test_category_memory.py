"""RoTTA's memory against a plain table of its rules, and its invariants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctta.parts.category_memory import CategoryMemory

samples = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.3])), max_size=40
)


def memory(max_memory=8, n_classes=4, age_weight=1.0, uncertainty_weight=1.0):
    return CategoryMemory(
        max_memory, n_classes, age_weight=age_weight, uncertainty_weight=uncertainty_weight
    )


def filled(given, **changes):
    made = memory(**changes)
    for number, (label, uncertainty) in enumerate(given):
        made.add(torch.tensor(number), label, uncertainty)
    return made


def rows(made):
    """(number, label, age) of each item."""
    return [(int(item.image), item.label, made.age(item)) for item in made.items()]


def by_table(given, n, age_weight, n_classes=4):
    """The same rules on one array of rows: number, label, uncertainty, insertions seen."""
    table = np.empty((0, 4))
    for number, (label, uncertainty) in enumerate(given):
        timely = age_weight / (1 + np.exp(-table[:, 3] / n))
        score = timely + table[:, 2] / np.log(n_classes)
        new = age_weight / 2 + uncertainty / np.log(n_classes)
        sizes = np.bincount(table[:, 1].astype(int), minlength=n_classes)
        leaves = None
        if sizes[label] >= n / n_classes:
            allowed = table[:, 1] == label
        elif len(table) >= n:
            allowed = np.isin(table[:, 1], np.flatnonzero(sizes == sizes.max()))
        else:
            allowed = None
        enters = True
        if allowed is not None:
            best = score[allowed].max()
            enters = best > new
            # Of equals the one of the highest class, and there the last to come.
            equal = np.flatnonzero(allowed & (score == best))
            leaves = max(equal, key=lambda row: (table[row, 1], table[row, 0]))
        if enters:
            if leaves is not None:
                table = np.delete(table, leaves, axis=0)
            table = np.vstack([table, [number, label, uncertainty, 0]])
        table[:, 3] += 1
    order = np.lexsort((table[:, 0], table[:, 1]))
    return [(int(a), int(b), int(d)) for a, b, _, d in table[order]]


@settings(max_examples=150, deadline=None)
@given(samples, st.sampled_from([5, 6, 8]), st.sampled_from([0.0, 1.0]))
def test_the_rules_are_those_of_the_table(given, max_memory, age_weight):
    made = filled(given, max_memory=max_memory, age_weight=age_weight)
    assert rows(made) == by_table(given, max_memory, age_weight)


@settings(max_examples=50, deadline=None)
@given(samples, st.integers(1, 9), st.floats(0, 2), st.floats(0, 2))
def test_it_never_overflows_and_every_age_is_true(
    given, max_memory, age_weight, uncertainty_weight
):
    weights = {"age_weight": age_weight, "uncertainty_weight": uncertainty_weight}
    made = filled(given, max_memory=max_memory, **weights)
    assert len(made) <= max_memory
    assert all(age == len(given) - number for number, _, age in rows(made))
    assert all(given[number][0] == label for number, label, _ in rows(made))
    assert max(map(len, made.by_class)) <= math.ceil(max_memory / 4)


def test_with_room_everything_enters_in_order_of_class():
    made = filled([(2, 1.0), (0, 0.1), (2, 0.0), (3, 5.0)])
    assert rows(made) == [(1, 0, 3), (0, 2, 4), (2, 2, 2), (3, 3, 1)]
    assert made.images().tolist() == [1, 0, 2, 3]


def test_a_full_class_gives_up_its_own_least_certain():
    made = filled([(1, 0.9), (1, 0.1), (1, 0.2)])
    assert [number for number, _, _ in rows(made)] == [1, 2]


def test_a_sample_that_is_worse_than_all_stays_out_and_the_rest_ages():
    made = filled([(1, 0.1), (1, 0.1), (1, 1.3)])
    assert rows(made) == [(0, 1, 3), (1, 1, 2)]


def test_a_class_without_samples_takes_from_the_largest():
    # N/K = 2; three full classes of 2 and no room: 6 of 6.
    given = [(0, 0.1), (0, 0.1), (1, 0.1), (1, 0.1), (2, 0.1), (2, 0.8), (3, 0.2)]
    made = filled(given, max_memory=6, n_classes=3 + 1)
    assert len(made) == 6
    assert 6 in [number for number, _, _ in rows(made)]
    assert 5 not in [number for number, _, _ in rows(made)]  # the least certain of all


def test_equal_scores_do_not_displace():
    # Without an age term a newcomer as certain as the stored ones is not better.
    made = filled([(0, 0.3), (0, 0.3), (0, 0.3)], age_weight=0.0)
    assert [number for number, _, _ in rows(made)] == [0, 1]


def test_scores_are_between_their_limits():
    made = memory(age_weight=2.0, uncertainty_weight=3.0)
    assert made.score(0, 0.0) == 1.0
    assert made.score(10**6, math.log(4)) == pytest.approx(2 + 3)
    assert made.score(8, 0.0) == pytest.approx(2 / (1 + math.exp(-1)))


def test_age_weights_fall_from_a_half():
    made = filled([(label, 0.1) for label in (3, 2, 1, 0)])
    expected = [1 / (1 + math.exp(age / 8)) for age in (1, 2, 3, 4)]
    torch.testing.assert_close(made.age_weights(), torch.tensor(expected))
    assert memory().age_weights().shape == (0,)


def test_a_saved_memory_goes_on():
    given = [(i % 4, 0.3 * (i % 5)) for i in range(15)]
    first, second = filled(given), memory()
    second.load_state_dict(first.state_dict())
    for made in (first, second):
        made.add(torch.tensor(99), 2, 0.05)
    assert rows(first) == rows(second)
    assert torch.equal(first.images(), second.images())


def test_copied_images_are_no_parts_of_their_batches():
    made, batch = memory(), torch.arange(6.0).view(3, 2)
    for image, label in zip(batch, (2, 0, 1), strict=True):
        made.add(image, label, 0.1)
    made.copy_images()
    batch.zero_()
    assert made.images().tolist() == [[2, 3], [4, 5], [0, 1]]
    memory().copy_images()  # of none
