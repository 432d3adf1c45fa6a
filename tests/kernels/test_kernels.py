"""The compiled form against the reference, bit for bit, and the law of the draws."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from ctta import kernels
from ctta.kernels.draws import BLOCK, RESTORE, Draw, chosen, gap_table, words

SHAPES = [(64, 3, 7, 7), (64,), (1,), (1500, 3), (0,), (4096,), (127,), (90, 91)]
PROBS = [0.0, 1e-5, 0.001, 0.01, 0.1, 0.2499, 0.25, 0.5, 1.0]
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def tensors(dtype: torch.dtype, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in SHAPES]


def gradients(dtype: torch.dtype) -> list[torch.Tensor | None]:
    """With ties, zeros, denormal squares and one that is absent."""
    made: list[torch.Tensor | None] = list(tensors(dtype, 9))
    for value, like in ((0.0, 0), (0.5, 5)):
        made[like].view(-1)[:50] = value  # type: ignore[union-attr]
    made[1].mul_(torch.finfo(dtype).tiny ** 0.5)  # type: ignore[union-attr]
    made[3] = None
    return made


def both_forms(call, *changed):
    """What ``call`` leaves in copies of ``changed``, by the reference and by the compiled form."""
    found = []
    for reference in (True, False):
        mine = copy.deepcopy(changed)
        with kernels.use_reference(reference), kernels.recorded() as ran:
            returned = call(*mine)
        assert ran == {"reference" if reference else "cpu"}
        found.append(
            [t for group in mine for t in group] + ([] if returned is None else [returned])
        )
    return found


def assert_same_bits(found):
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.numpy(), other.numpy(), strict=True)


@BOTH
def test_ema_one_decay_and_one_a_tensor(dtype):
    student = tensors(dtype, 1)
    decays = [0.9, 0.99, 0.999, 1.0] * 2
    for decay in (0.999, 0.0, decays):
        assert_same_bits(
            both_forms(lambda t, d=decay: kernels.ema_(t, student, d), tensors(dtype, 0))
        )


def test_tensors_of_other_sizes_are_refused():
    teacher = [torch.zeros(3), torch.zeros(4)]
    for student in ([torch.zeros(3), torch.zeros(5)], teacher[:1]):
        with pytest.raises(ValueError, match=r"equal sizes in each sequence, got \[\[3, 4\], \[3"):
            kernels.ema_(teacher, student, 0.9)
    with pytest.raises(ValueError, match="a decay for each of 2 tensors, got 1"):
        kernels.ema_(teacher, teacher, [0.9])


def test_ema_has_the_official_roundings():
    teacher, student = tensors(torch.float32, 0), tensors(torch.float32, 1)
    moved = [t.clone() for t in teacher]
    kernels.ema_(moved, student, 0.999)
    for before, after, theirs in zip(teacher, moved, student, strict=True):
        assert torch.equal(after, 0.999 * before + (1 - 0.999) * theirs)
        assert (
            (after - before.lerp(theirs, 1 - 0.999))
            .abs()
            .le(2 * torch.finfo(torch.float32).eps * after.abs().clamp_min(1e-3))
            .all()
        )


@BOTH
@pytest.mark.parametrize("prob", PROBS)
def test_restore_and_the_fused_form(dtype, prob):
    start, draw = tensors(dtype, 2), Draw(prob, 2**40 + 3, 7)
    restored = both_forms(lambda s: kernels.restore_(s, start, draw), tensors(dtype, 1))
    assert_same_bits(restored)
    fused = both_forms(
        lambda t, s: kernels.ema_restore_(t, s, start, 0.999, draw),
        tensors(dtype, 0),
        tensors(dtype, 1),
    )
    assert_same_bits(fused)
    assert_same_bits((restored[0], fused[1][len(SHAPES) :]))


@BOTH
def test_restore_where(dtype):
    start = tensors(dtype, 2)
    masks = [t > 0 for t in tensors(dtype, 3)]
    found = both_forms(lambda s: kernels.restore_where_(s, start, masks), tensors(dtype, 1))
    assert_same_bits(found)
    for mask, after, source in zip(masks, found[1], start, strict=True):
        assert torch.equal(after[mask], source[mask])


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_masks_of_numbers_are_refused(reference, dtype):
    own, masks = torch.zeros(8), torch.tensor([0, 1] * 4, dtype=dtype)
    with (
        kernels.use_reference(reference),
        pytest.raises(ValueError, match=rf"masks: expected bool tensors, got {dtype}; pass mask"),
    ):
        kernels.restore_where_([own], [torch.ones(8)], [masks])
    assert not own.any()


@BOTH
@pytest.mark.parametrize("level", [0.0, 0.001, 0.03, 0.5, 0.97, 1.0])
def test_quantile_is_the_one_of_a_sort(dtype, level):
    own, like = gradients(dtype), tensors(dtype, 1)
    found = both_forms(lambda: kernels.squared_quantile(own, like, level))
    assert_same_bits(found)
    everything = torch.cat([torch.zeros_like(p).flatten() if g is None else g.square().flatten()
                            for g, p in zip(own, like, strict=True)])  # fmt: skip
    assert found[0][0].item() == pytest.approx(np.quantile(everything.numpy(), level), rel=1e-6)


@BOTH
@pytest.mark.parametrize("special", [math.nan, math.inf, -math.nan])
def test_quantile_puts_nan_last(dtype, special):
    own = [torch.tensor([3.0, special, 1.0, 2.0, -1.0], dtype=dtype)]
    for level, expected in ((0.0, 1.0), (0.25, 1.0), (0.5, 4.0)):
        found = both_forms(lambda level=level: kernels.squared_quantile(own, own, level))
        assert_same_bits(found)
        assert found[1][0] == expected
    last = both_forms(lambda: kernels.squared_quantile(own, own, 1.0))[1][0]
    assert math.isnan(last) if math.isnan(special) else math.isinf(last)


@BOTH
@pytest.mark.parametrize("level", [0.0, 0.03, 0.5, 0.97])
def test_fisher_updates(dtype, level):
    own, student, start = gradients(dtype), tensors(dtype, 1), tensors(dtype, 2)
    threshold = kernels.squared_quantile(own, student, level)
    for twice in (False, True):
        assert_same_bits(
            both_forms(
                lambda t, s, twice=twice: kernels.fisher_restore_(
                    t, s, start, own, threshold, 0.99, twice=twice
                ),
                tensors(dtype, 0),
                student,
            )
        )
    assert_same_bits(
        both_forms(
            lambda t: kernels.masked_ema_(t, student, own, threshold, 0.99), tensors(dtype, 0)
        )
    )


def test_more_zeros_than_the_level_restores_nothing():
    own = [torch.cat([torch.zeros(90), torch.ones(10)])]
    student, start = [torch.ones(100)], [torch.zeros(100)]
    threshold = kernels.squared_quantile(own, own, 0.5)
    kernels.fisher_restore_([torch.ones(100)], student, start, own, threshold, 0.9)
    assert threshold == 0
    assert torch.equal(student[0], torch.ones(100))


@BOTH
def test_prior_is_autograd_of_its_value(dtype):
    mean, weights = tensors(dtype, 2), [t.abs() for t in tensors(dtype, 3)]
    own = tensors(dtype, 4)
    parameters = [p.requires_grad_() for p in tensors(dtype, 1)]
    value = 0.3 * sum((w * (p - m).square()).sum()
                      for p, m, w in zip(parameters, mean, weights, strict=True))  # fmt: skip
    slopes = torch.autograd.grad(value, parameters)
    found = both_forms(
        lambda g: kernels.quadratic_prior_(g, [p.detach() for p in parameters], mean, weights, 0.3),
        own,
    )
    assert_same_bits([part[:-1] for part in found])
    for part in found:
        assert part[-1].item() == pytest.approx(value.item() / 0.3, rel=1e-6)
        for after, before, slope in zip(part, own, slopes, strict=False):
            torch.testing.assert_close(after, before + slope)


def test_a_write_raises_the_version_counter():
    weight = torch.randn(5, requires_grad=True)
    loss = (weight**2).sum()
    kernels.ema_([weight], [torch.randn(5)], 0.9)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_half_tensors_take_the_reference():
    with kernels.recorded() as ran:
        kernels.ema_([torch.randn(5).half()], [torch.randn(5).half()], 0.9)
    assert ran == {"reference"}


def test_bfloat16_student_moves_a_float32_teacher():
    teacher, student = [torch.ones(10)], [torch.full((10,), 1.01, dtype=torch.bfloat16)]
    kernels.ema_(teacher, student, 0.999)
    assert (teacher[0] > 1).all()


def test_strided_tensors_are_restored_in_logical_order():
    start, draw = torch.zeros(4, 8, 8, 8), Draw(0.1, 3, 0)
    plain = torch.ones(4, 8, 8, 8)
    strided = plain.to(memory_format=torch.channels_last)
    kernels.restore_([plain], [start], draw)
    kernels.restore_([strided], [start], draw)
    assert torch.equal(plain, strided)


def test_every_update_raises_the_version_counters_of_what_it_moves():
    one, other, start = ([torch.rand(5), torch.rand(2, 3)] for _ in range(3))
    masks, level = [t > 0.5 for t in start], torch.tensor(0.3)
    draw = Draw(0.5, 1, 2)
    updates = [
        (lambda: kernels.ema_(one, other, 0.9), one),
        (lambda: kernels.restore_(one, start, draw), one),
        (lambda: kernels.restore_where_(one, start, masks), one),
        (lambda: kernels.ema_restore_(one, other, start, 0.9, draw), one + other),
        (lambda: kernels.fisher_restore_(one, other, start, start, level, 0.9), one + other),
        (lambda: kernels.masked_ema_(one, other, start, level, 0.9), one),
        (lambda: kernels.quadratic_prior_(one, other, start, start, 0.1), one),
    ]
    for reference in (False, True):
        for update, moved in updates:
            before = [t._version for t in (*one, *other, *start)]
            with kernels.use_reference(reference):
                update()
            after = [t._version for t in (*one, *other, *start)]
            for t, was, now in zip((*one, *other, *start), before, after, strict=True):
                assert (now > was) == any(t is each for each in moved)


# --- the draws ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prob", [0.001, 0.03, 0.125, 0.2499])
def test_gap_table_is_exact(prob):
    table = gap_table(prob)
    rest = 1 - Fraction(prob)
    for k in (1, 2, 3, 10, 100):
        assert table.thresholds[k - 1] == math.floor(2**32 * (1 - rest**k))
    some = np.random.default_rng(0).integers(0, 1 << 32, 1000, dtype=np.uint64)
    counts = np.searchsorted(table.thresholds, some, "right")
    assert (table.guide[(some >> np.uint64(20)).astype(int)] <= counts).all()


@pytest.mark.parametrize("prob", [0.001, 0.01, 0.1, 0.25, 0.5])
def test_masks_do_not_depend_on_the_cut(prob):
    draw, n = Draw(prob, 5, 2), 3 * BLOCK + 100
    whole = chosen(draw, 0, n)
    sizes = [1, 16, BLOCK - 18, 1, BLOCK + 3, n - 2 * BLOCK - 3]
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    pieces = [chosen(draw, first, size) for first, size in zip(firsts, sizes, strict=True)]
    assert torch.equal(torch.cat(pieces), whole)
    flat = torch.zeros(n)
    kernels.restore_(flat.split(sizes), torch.ones(n).split(sizes), draw)
    assert torch.equal(flat.bool(), whole)


@pytest.mark.parametrize("prob", [0.002, 0.01, 0.1, 0.3])
def test_law_of_the_masks(prob):
    n = 500 * BLOCK
    mask = chosen(Draw(prob, 11, 0), 0, n).numpy()
    assert stats.binomtest(int(mask.sum()), n, prob).pvalue > 1e-4
    # Gaps inside blocks are geometric; a block's end cuts them off, so only short ones are counted.
    places = np.nonzero(mask)[0]
    together = places[1:][places[1:] // BLOCK == places[:-1] // BLOCK]
    gaps = np.diff(places)[places[1:] // BLOCK == places[:-1] // BLOCK]
    early = gaps[(together - gaps) % BLOCK < BLOCK // 2]
    edges = np.unique(stats.geom(prob).ppf([0.1, 0.25, 0.5, 0.75]).astype(int))
    edges = edges[edges < BLOCK // 2]
    observed = np.histogram(early, [0.5, *(edges + 0.5), np.inf])[0]
    expected = np.diff([0, *stats.geom(prob).cdf(edges), 1]) * len(early)
    assert stats.chisquare(observed, expected).pvalue > 1e-4
    per_block = mask.reshape(-1, BLOCK).sum(1)
    assert per_block.var() == pytest.approx(BLOCK * prob * (1 - prob), rel=0.3)


@pytest.mark.parametrize("change", ["seed", "step", "stream"])
def test_draws_of_other_seeds_steps_and_streams_are_independent(change):
    base, n, prob = {"seed": 1, "step": 1, "stream": RESTORE}, 100 * BLOCK, 0.1
    one = chosen(Draw(prob, **base), 0, n)
    other = chosen(Draw(prob, **{**base, change: base[change] + 1}), 0, n)
    both = int((one & other).sum())
    assert stats.binomtest(both, n, prob**2).pvalue > 1e-4


def test_neighbouring_blocks_are_independent():
    mask = chosen(Draw(0.1, 4, 0), 0, 400 * BLOCK).view(-1, BLOCK).numpy()
    both = int((mask[::2] & mask[1::2]).sum())
    assert stats.binomtest(both, 200 * BLOCK, 0.01).pvalue > 1e-4


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prob": -0.1}, "prob: expected a probability"),
        ({"prob": 1.1}, "prob: .* got 1.1"),
        ({"prob": math.nan}, "prob: .* got nan"),
        ({"step": 1 << 32}, "step, stream: expected .* got 4294967296, 1"),
        ({"stream": -1}, "step, stream: expected .* got 0, -1"),
    ],
)
def test_draws_out_of_range_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Draw(**{"prob": 0.1, "seed": 0, "step": 0, **wrong})


def test_words_are_philox_of_the_documented_counter():
    from ctta.counter.philox import philox4x32

    draw = Draw(0.5, (7 << 32) | 9, 3, 2)
    counter = torch.tensor([[5, 2, 3, 2]])
    expected = philox4x32(counter, (9, 7))
    assert torch.equal(words(draw, torch.tensor([5]), 8, 4), expected)


@pytest.mark.parametrize(
    ("shapes", "level", "message"),
    [([3], -0.1, "level: expected from 0 to 1"), ([3], 1.1, "level"), ([], 0.5, "like: expected"),
     ([0, 0], 0.5, "like: expected")],
)  # fmt: skip
def test_a_quantile_of_nothing_or_beyond_the_ends_is_refused(shapes, level, message):
    tensors = [torch.ones(n) for n in shapes]
    for reference in (True, False):
        with kernels.use_reference(reference), pytest.raises(ValueError, match=message):
            kernels.squared_quantile(tensors, tensors, level)
