"""Schedules by property, hashes by what must and must not change them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctta.data.corruptions import CORRUPTIONS
from ctta.streams.schedules import rising_and_falling
from ctta.streams.sequential import SequentialStream
from ctta.streams.settings import SETTINGS
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


PARAMETERS = {
    "correlated_note": {"concentration": 0.5, "smallest_chunk": 0},
    "mixed_correlated_note": {"concentration": 0.5, "smallest_chunk": 0},
    "correlated_rotta": {"concentration": 0.5},
    "label_shift": {"imbalance_ratio": 50, "draws_per_class": 7},
    "markov": {
        "domain_correlation": 0.8,
        "domain_imbalance": 1,
        "class_correlation": 0.5,
        "class_imbalance": 2,
        "samples_per_state": 6,
    },
}
DOMAINS_MEET = {"mixed", "mixed_correlated", "mixed_correlated_note", "correlated_rotta"} | {
    "cdc",
    "markov",
}


def stream(data=None, **changes):
    if "setting" in changes:
        changes.setdefault("parameters", PARAMETERS.get(changes["setting"]))
    return CorruptionStream(data or Numbers(), **{"batch_size": 4, "seed": 3, **changes})


def test_gradual_severities():
    assert rising_and_falling(0, starts_high=False) == [1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert rising_and_falling(0, starts_high=True) == [5, 4, 3, 2, 1]
    assert rising_and_falling(1, starts_high=True) == [1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert len(stream(setting="gradual").domains) == 27
    assert len(stream(setting="gradual", starts_high=True).domains) == 23


@pytest.mark.parametrize("setting", sorted(SETTINGS))
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
    if setting not in DOMAINS_MEET:
        assert all(len(set(b.domain.tolist())) == 1 for b in batches)
    starts = [b.fresh_start for b in batches]
    assert sum(starts) == (3 if SETTINGS[setting].resets else 1)
    assert starts[0]


@given(
    setting=st.sampled_from(sorted(SETTINGS)),
    rounds=st.integers(1, 3),
    repermuted=st.booleans(),
    start=st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_batches_go_on_where_asked(setting, rounds, repermuted, start):
    def made():
        return stream(setting=setting, rounds=rounds, repermuted=repermuted)

    whole = list(made())
    assert len(whole) == len(made())
    for a, b in zip(whole[start:], made().batches(start), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.ids, b.ids)
        assert (a.segment, a.fresh_start) == (b.segment, b.fresh_start)


def test_rounds_repeat_the_first_or_are_drawn_anew():
    one = stream().segments
    for repermuted in (False, True):
        made = stream(rounds=2, repermuted=repermuted)
        assert [str(d) for d in made.domains] == ["fog-5", "snow-5", "frost-5"] * 2
        assert [int(d[0]) for d, _ in made.segments] == list(range(6))
        same = [np.array_equal(a[1], b[1]) for a, b in zip(one * 2, made.segments, strict=True)]
        assert same == [True] * 3 + [not repermuted] * 3


def test_visits_in_the_rotta_form_are_one_list():
    made = stream(setting="correlated_rotta", rounds=2, repermuted=True)
    ((domain, _),) = made.segments
    assert domain.tolist() == [d for d in range(6) for _ in range(10)]


def test_millions_of_ids_take_little_memory():
    import tracemalloc

    data = Numbers(n=50_000, corruptions=CORRUPTIONS)
    tracemalloc.start()
    made = CorruptionStream(data, rounds=10, batch_size=64)
    batch = next(made.batches(100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(made) == 10 * 15 * 782
    assert (batch.segment, len(batch.ids)) == (127, 64)
    assert peak < 10e6  # the labels take 6e6; 7.5 million numbers of 8 bytes would take 60e6


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
        lambda: stream(rounds=2),
        lambda: stream(Numbers(corruptions=("frost", "fog", "snow")), order="rotta"),
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


def test_orders_under_one_name_are_one_protocol():
    made = [stream(order="cotta", order_number=n) for n in range(10)]
    assert len({m.protocol_sha256 for m in made}) == 1
    assert len({tuple(map(str, m.domains)) for m in made}) == 6  # of three corruptions
    assert len({m.stream_sha256 for m in made}) == 6
    turned = stream(Numbers(corruptions=("frost", "snow", "fog")), order="cotta")
    assert hashes(turned) == hashes(stream(order="cotta"))


@pytest.mark.parametrize("changed", [{"rounds": 3}, {"repermuted": True}, {"shuffle": False}])
def test_what_changes_the_protocol_of_rounds(changed):
    assert stream(**{"rounds": 2, **changed}).protocol_sha256 != stream(rounds=2).protocol_sha256


def test_parameters_are_in_the_protocol():
    for setting, parameters in PARAMETERS.items():
        for name in parameters:
            other = {**parameters, name: parameters[name] * 1.25 if name != "smallest_chunk" else 1}
            if name in ("draws_per_class", "samples_per_state"):
                other[name] = 9
            if name == "domain_correlation":
                other[name] = None
            a, b = (stream(setting=setting, parameters=p) for p in (parameters, other))
            assert a.protocol_sha256 != b.protocol_sha256, name


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
        ({"rounds": 0}, "rounds: expected at least 1, got 0"),
        ({"starts_high": True}, "starts_high: continual has one severity; type stream=gradual"),
        ({"order": "sideways"}, "order: expected one of cotta, petal_3dcc, rotta, got 'sideways'"),
        ({"order": "cotta", "order_number": 10}, "order_number: cotta has 0 to 9, got 10"),
        ({"order_number": 1}, "order_number: got 1 without an order; type stream=cotta_orders"),
        ({"order": "petal_3dcc"}, "order: petal_3dcc does not have fog; type dataset.corrupt"),
        ({"parameters": {"x": 1}}, "parameters.x: unknown; this setting takes no parameters"),
        (
            {"setting": "correlated_rotta", "parameters": {}},
            r"parameters.concentration: expected a value, got none; type \+stream.parameters.conc",
        ),
        (
            {"setting": "correlated_rotta", "parameters": {"concentration": 0}},
            "concentration: expected above 0, got 0",
        ),
        (
            {"setting": "correlated_note", "parameters": {"concentration": 1, "smallest_chunk": 9}},
            "200 draws with concentration 1 left a chunk of 10 samples in 3 below 9; type a larger",
        ),
        (
            {
                "setting": "correlated_note",
                "parameters": {"concentration": 1, "smallest_chunk": -1},
            },
            "smallest_chunk: expected at least 0, got -1",
        ),
        *(
            ({"setting": setting, "parameters": {**PARAMETERS[setting], name: value}}, words)
            for setting, name, value, words in (
                ("label_shift", "imbalance_ratio", 0.5, "imbalance_ratio: expected at least 1"),
                ("label_shift", "draws_per_class", 0, "draws_per_class: expected at least 1"),
                ("markov", "domain_correlation", 0, "domain_correlation: expected above 0 up to 1"),
                ("markov", "class_correlation", 1.5, "class_correlation: expected above 0 up to 1"),
                ("markov", "class_imbalance", 0.5, "class_imbalance: expected at least 1"),
                ("markov", "samples_per_state", 0, "samples_per_state: expected at least 1"),
            )
        ),
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


def test_an_order_of_its_own_is_for_data_that_have_one():
    with pytest.raises(ValueError, match="numbers has domains with random access; type stream=con"):
        SequentialStream(Numbers())
