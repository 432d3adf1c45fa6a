"""The counter-based generator: published vectors, both forms equal, laws, independence."""

import math

import numpy as np
import pytest
import torch

from ctta.counter import Rows, philox4x32, row_words
from ctta.counter.compiled import philox
from ctta.counter.compiled import row_words as compiled_row_words
from ctta.counter.normal import quantile_table
from ctta.counter.philox import split64

# Random123's known answers for philox4x32 with 10 rounds.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
IDS = torch.tensor([0, 1, 7, 2**31, 2**40 + 5, 2**62, -3])


def words_of(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter, key, expected):
    out = philox4x32(torch.tensor(words_of(counter)), tuple(words_of(key)))
    assert out.tolist() == words_of(expected)
    words = [np.array([word], np.uint32) for word in words_of(counter)]
    philox(*words, *words_of(key))
    assert [int(word[0]) for word in words] == words_of(expected)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 0x299F31D0A4093822])
@pytest.mark.parametrize("n", [1, 4, 6, 256, 1001])
def test_compiled_words_equal_torch_words(seed, n):
    torch_form = row_words(IDS, 5, n, seed)
    compiled = compiled_row_words(IDS.numpy(), 5, n, *split64(seed))
    assert np.array_equal(torch_form.numpy(), compiled.astype(np.int64))


@pytest.mark.parametrize("kind", ["words", "uniform", "normal", "integers"])
def test_both_forms_are_bit_equal(kind):
    def draw(compiled):
        rows = Rows(IDS, stream=3, seed=11, compiled=compiled)
        rows.words(5)
        return rows.integers(-4, 4, 9, 40) if kind == "integers" else getattr(rows, kind)(9, 4001)

    fast, plain = draw(True), draw(False)
    assert fast.dtype == plain.dtype
    assert torch.equal(fast, plain)


def test_a_row_depends_on_its_id_only():
    whole = Rows(IDS, stream=1, seed=2).normal(33)
    order = torch.tensor([4, 0, 2])
    assert torch.equal(Rows(IDS[order], stream=1, seed=2).normal(33), whole[order])


def test_id_stream_seed_and_call_all_change_the_draws():
    def first(**change):
        rows = Rows(torch.tensor([change.get("id", 0)]), stream=change.get("stream", 0),
                    seed=change.get("seed", 0))  # fmt: skip
        for _ in range(change.get("call", 0)):
            rows.words(1)
        return tuple(rows.words(8)[0].tolist())

    base = first()
    others = [first(id=1), first(id=2**32), first(stream=1), first(seed=1), first(seed=2**32)]
    assert len({base, *others, first(call=1)}) == 7


def test_a_shorter_draw_is_a_prefix_and_leaves_later_calls_alone():
    short, long = Rows(IDS, stream=0), Rows(IDS, stream=0)
    assert torch.equal(short.words(10), long.words(400)[:, :10])
    assert torch.equal(short.words(3), long.words(3))


def test_normals_follow_the_normal_law():
    z = Rows(torch.arange(200), stream=9).normal(5000).double().flatten().numpy()
    n = z.size
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    grid = np.linspace(-4, 4, 33)
    cdf = np.array([0.5 * math.erfc(-g / math.sqrt(2)) for g in grid])
    share = np.searchsorted(np.sort(z), grid) / n
    assert np.all(np.abs(share - cdf) < 4.5 * np.sqrt(cdf * (1 - cdf) / n) + 1e-6)


def test_the_quantile_table_is_exactly_representable_and_monotone():
    table = quantile_table()
    assert np.array_equal(table * 2**21, np.round(table * 2**21))
    assert np.all(np.diff(table) > 0)
    assert table[-1] == 0 and -6.5 < table[0] < -6


def test_uniforms_and_integers_fill_their_ranges():
    rows = Rows(torch.arange(50), stream=4)
    u = rows.uniform(2000)
    assert u.min() >= 0 and u.max() < 1
    assert abs(float(u.mean()) - 0.5) < 4 / math.sqrt(12 * u.numel())
    k = rows.integers(-2, 3, 2000)
    counts = torch.bincount(k.flatten() + 2, minlength=5)
    assert counts.numel() == 5 and (counts - 20000).abs().max() < 4.5 * math.sqrt(16000)


RATES = (0.0, 0.02, 1.5, 40.0, 500.0)


def test_both_forms_of_poisson_are_equal():
    which = Rows(IDS, stream=8).integers(0, 5, 3, 700).to(torch.uint8)
    fast, plain = (Rows(IDS, stream=3, compiled=c).poisson(RATES, which) for c in (True, False))
    assert fast.dtype == plain.dtype and torch.equal(fast, plain)


def test_poisson_counts_follow_their_law():
    n = 200_000
    for i, rate in enumerate(RATES):
        which = torch.full((100, n // 100), i, dtype=torch.uint8)
        k = Rows(torch.arange(100), stream=2).poisson(RATES, which).double()
        assert abs(float(k.mean()) - rate) <= 4 * math.sqrt(rate / n)
        assert abs(float(k.var()) - rate) <= 4 * math.sqrt((rate + 2 * rate**2) / n)
        assert abs(float((k == 0).double().mean()) - math.exp(-rate)) < 0.005


def test_poisson_rates_beyond_the_tables_are_refused():
    with pytest.raises(ValueError, match="Poisson rates"):
        Rows(IDS, stream=0).poisson((1.0, 601.0), torch.zeros(7, 3, dtype=torch.uint8))


@pytest.mark.parametrize("ids", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64)])
def test_ids_of_the_wrong_kind_are_refused(ids):
    with pytest.raises(ValueError, match="int64 of shape"):
        Rows(ids, stream=0)


def test_streams_integers_and_draws_out_of_range_are_refused():
    with pytest.raises(ValueError, match="stream must be in"):
        Rows(IDS, stream=-1)
    with pytest.raises(ValueError, match="high - low"):
        Rows(IDS, stream=0).integers(3, 3, 1)
    rows = Rows(IDS[:1], stream=0)
    for _ in range(256):
        rows.words(1)
    with pytest.raises(ValueError, match="256 draws"):
        rows.words(1)
