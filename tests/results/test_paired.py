"""Two traces sample by sample, against a plain loop over the rows."""

import numpy as np
import pytest

from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.results.difference import Difference
from ctta.results.paired import paired


def trace(rows, domains, batch_size=4):
    """From rows (domain, segment, sample id, label, prediction)."""
    samples = {name: np.zeros(len(rows), dtype) for name, dtype in SAMPLE_COLUMNS.items()}
    names = ("domain", "segment", "sample_id", "label", "prediction")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        samples[name][:] = column
    n = -(-len(rows) // batch_size)
    batches = {name: np.zeros(n, dtype) for name, dtype in BATCH_COLUMNS.items()}
    batches["batch_size"][:] = batch_size
    return Trace(samples, batches, domains, 3)


def rows(n, seed, segments=2):
    """Samples that come several times, in two domains."""
    generator = np.random.default_rng(seed)
    segment = np.arange(n) * segments // n
    domain, sample = segment % 2, generator.integers(0, 5, n)
    return list(zip(domain, segment, sample, sample % 3, generator.integers(0, 3, n), strict=True))


def by_hand(a, b, names_a, names_b):
    """Pairs (position in a, position in b) by going through the rows."""
    waiting = {}
    for position, row in enumerate(b):
        waiting.setdefault((names_b[row[0]], row[2]), []).append(position)
    pairs = []
    for position, row in enumerate(a):
        others = waiting.get((names_a[row[0]], row[2]))
        if others:
            pairs.append((position, others.pop(0)))
    return pairs


@pytest.mark.parametrize("seed", range(5))
def test_pairs_and_counts_are_those_of_a_plain_loop(seed):
    names_a, names_b = ("fog", "snow"), ("snow", "fog")
    a, b = rows(40, seed), rows(30, seed + 100, segments=3)
    found = paired(trace(a, names_a), trace(b, names_b))
    pairs = by_hand(a, b, names_a, names_b)
    assert (found.n_a, found.n_b, found.n_pairs, found.same_order) == (40, 30, len(pairs), False)
    first = next(i for i, j in pairs if a[i][4] != b[j][4])
    assert (found.first.sample, found.first.batch) == (first, first // 4)
    assert (found.first.domain, found.first.sample_id) == (names_a[a[first][0]], a[first][2])
    for segment in found.segments:
        own = [(a[i], b[j]) for i, j in pairs if a[i][1] == segment.segment]
        wrong = [(x[4] != x[3], y[4] != y[3]) for x, y in own]
        assert segment.n == len(own)
        assert segment.domain == names_a[own[0][0][0]]
        assert segment.error_a_pct == pytest.approx(100 * np.mean([x for x, _ in wrong]))
        assert segment.error_b_pct == pytest.approx(100 * np.mean([y for _, y in wrong]))
        assert segment.only_a_wrong == sum(x and not y for x, y in wrong)
        assert segment.only_b_wrong == sum(y and not x for x, y in wrong)
        assert segment.other_answers == sum(x[4] != y[4] for x, y in own)
    assert sum(segment.n for segment in found.segments) == len(pairs)


def test_the_same_rows_in_one_order_have_no_difference():
    a = trace(rows(20, 0), ("fog", "snow"))
    found = paired(a, a)
    assert (found.same_order, found.n_pairs, found.first) == (True, 20, None)


def test_a_last_bit_is_a_difference():
    a, b = (trace(rows(20, 0), ("fog", "snow")) for _ in range(2))
    b.samples["entropy"][13] = np.nextafter(np.float32(0), np.float32(1))
    found = paired(a, b)
    assert (found.first.sample, found.first.batch) == (13, 3)
    assert sum(segment.other_answers for segment in found.segments) == 0


def test_traces_without_a_common_sample_have_no_pairs():
    found = paired(trace(rows(8, 0), ("fog", "snow")), trace(rows(8, 0), ("rain", "frost")))
    assert (found.n_pairs, found.first, found.segments) == (0, None, ())
    said = list(Difference({}, same_bits=False, traces=found).lines())
    assert said[1:] == ["no answer differs in those"]


def test_the_first_difference_is_said_with_its_place():
    a, b = (trace(rows(20, 0), ("fog", "snow")) for _ in range(2))
    b.samples["entropy"][13] = 1.0
    said = list(Difference({}, same_bits=False, traces=paired(a, b)).lines())
    assert said[0] == "samples: 20 and 20, of which 20 in both, in one order"
    assert said[1].startswith("the first answer that differs: sample 13 in batch 3 (snow, image ")
    assert [line.split()[:3] for line in said[2:]] == [
        ["segment", "n", "error"],
        ["0", "fog", "10"],
        ["1", "snow", "10"],
    ]
