"""Schedules by property, hashes by what must and must not change them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctta.streams.schedules import SCHEDULES, rising_and_falling
from ctta.streams.stream import CorruptionStream


class Numbers:
    """A data set whose images hold (corruption number, severity, index), so that a mix-up shows."""

    name, version, severity = "numbers", 1, 5

    def __init__(self, n=10, corruptions=("fog", "snow", "frost"), seed=0, preprocessing="none"):
        self.n, self.corruptions = n, corruptions
        self.identity = {"id": self.name, "version": self.version, "corruption_seed": seed}
        self.identity["preprocessing"] = preprocessing

    def labels(self, corruption, severity):
        return np.arange(self.n) % 3

    def images(self, corruption, severity, indices):
        x = torch.zeros(len(indices), 3, 1, 1)
        x[:, 0] = self.corruptions.index(corruption)
        x[:, 1] = severity
        x[:, 2, 0, 0] = torch.from_numpy(indices).float()
        return x


def stream(data=None, **changes):
    return CorruptionStream(data or Numbers(), **{"batch_size": 4, "seed": 3, **changes})


@given(
    setting=st.sampled_from(sorted(SCHEDULES)),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_every_sample_comes_exactly_once(setting, sizes, shuffle, seed):
    labels = [np.arange(n) % 3 for n in sizes]
    generator = np.random.Generator(np.random.PCG64(seed))
    segments = SCHEDULES[setting](labels, generator, shuffle)
    seen = [pair for d, i in segments for pair in zip(d.tolist(), i.tolist(), strict=True)]
    assert sorted(seen) == [(d, i) for d, n in enumerate(sizes) for i in range(n)]
    if setting != "mixed":
        assert all(len(set(d.tolist())) == 1 for d, _ in segments)
    if setting == "correlated":
        assert all((np.diff(labels[d[0]][i]) >= 0).all() for d, i in segments)


def test_correlated_keeps_the_shuffled_order_inside_a_class():
    labels = [np.array([1, 0, 1, 0, 1, 0])]
    plain = SCHEDULES["continual"](labels, np.random.Generator(np.random.PCG64(1)), True)[0][1]
    ((_, order),) = SCHEDULES["correlated"](labels, np.random.Generator(np.random.PCG64(1)), True)
    assert order.tolist() == [i for c in (0, 1) for i in plain if labels[0][i] == c]


def test_gradual_severities():
    assert rising_and_falling(0, starts_high=False) == [1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert rising_and_falling(0, starts_high=True) == [5, 4, 3, 2, 1]
    assert rising_and_falling(1, starts_high=True) == [1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert len(stream(setting="gradual").domains) == 27
    assert len(stream(setting="gradual", starts_high=True).domains) == 23


@pytest.mark.parametrize("setting", sorted(SCHEDULES))
def test_images_labels_and_ids_belong_together(setting):
    data = Numbers()
    made = stream(data, setting=setting)
    batches = list(made)
    assert len(batches) == len(made)
    for batch in batches:
        for x, y, domain, number in zip(batch.x, batch.y, batch.domain, batch.ids, strict=True):
            kind = made.domains[domain]
            expected = [data.corruptions.index(kind.corruption), kind.severity, number]
            assert x.flatten().tolist() == [float(v) for v in expected]
            assert y == data.labels("", 0)[number]
    if setting != "mixed":
        assert all(len(set(b.domain.tolist())) == 1 for b in batches)
    starts = [b.fresh_start for b in batches]
    assert sum(starts) == (3 if setting == "reset_each" else 1)
    assert starts[0]


def test_batches_go_on_where_asked():
    whole = list(stream())
    for a, b in zip(whole[4:], stream().batches(4), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.ids, b.ids)
        assert (a.segment, a.fresh_start) == (b.segment, b.fresh_start)


def hashes(made):
    return made.protocol_sha256, made.stream_sha256


def test_the_same_stream_has_the_same_hashes():
    assert hashes(stream()) == hashes(stream())


@pytest.mark.parametrize(
    "changed",
    [
        lambda: stream(batch_size=5),
        lambda: stream(setting="mixed"),
        lambda: stream(setting="reset_each"),
        lambda: stream(shuffle=False),
        lambda: stream(Numbers(seed=1)),
        lambda: stream(Numbers(preprocessing="resize 256")),
        lambda: stream(Numbers(n=11)),
        lambda: stream(Numbers(corruptions=("fog", "frost", "snow"))),
    ],
)
def test_what_changes_both_hashes(changed):
    for a, b in zip(hashes(stream()), hashes(changed()), strict=True):
        assert a != b


def test_another_severity_changes_both_hashes():
    milder = Numbers()
    milder.severity = 3
    for a, b in zip(hashes(stream()), hashes(stream(milder)), strict=True):
        assert a != b


def test_the_seed_changes_the_stream_and_nothing_else():
    assert stream(seed=4).protocol_sha256 == stream().protocol_sha256
    assert stream(seed=4).stream_sha256 != stream().stream_sha256
    unshuffled = [stream(seed=s, shuffle=False).stream_sha256 for s in (1, 2)]
    assert unshuffled[0] == unshuffled[1]


def test_hashes_touch_no_image():
    data = Numbers()
    data.images = None
    assert len(stream(data).stream_sha256) == 64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"setting": "sideways"}, "expected one of continual, reset_each, .*got 'sideways'"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0"),
    ],
)
def test_mistakes_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        stream(**change)


def test_the_first_batch_of_each_segment():
    made = stream()
    firsts = [
        b.ids.tolist() for b in made if b.ids.tolist() == made.segments[b.segment][1][:4].tolist()
    ]
    assert [b.ids.tolist() for b in made.firsts()] == firsts
