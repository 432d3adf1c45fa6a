"""Views: the quick chain against torchvision's operations on whole padded images."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctta.parts import augment
from ctta.parts.augment import Augmentation, ViewDraws, apply_view
from ctta.parts.view_stages import view_stages

PADDINGS = ("replicate", "reflect")
NOTHING = ViewDraws(
    order=(),
    factor=(1.0, 1.0, 1.0, 0.0, 1.0),
    angle=0.0,
    shift=(0, 0),
    scale=1.0,
    sigma=None,
    flip=False,
    noise=None,
)


def stage_by_stage(x, draws, padding="replicate"):
    *_, (_, last) = view_stages(x, draws, padding=padding)
    return last


def images(n, side, dtype=torch.float64, seed=0):
    """Some values lie outside of [0,1], some are black, some grey."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, side, side, generator=generator, dtype=torch.float64) * 1.2 - 0.1
    x[:, :, 0] = 0
    x[:, :, 1] = x[:, :1, 1]
    return x.to(dtype)


@st.composite
def cases(draw):
    """Images, a view of them and a padding; half of the draws go far out of the chain's ranges."""
    side = draw(st.sampled_from([2, 3, 4, 5, 7, 8, 13, 16, 31, 32]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    seed = draw(st.integers(0, 2**32))
    x = images(draw(st.integers(1, 4)), side, dtype, seed)
    padding = draw(st.sampled_from(PADDINGS))
    blur, noise = draw(st.booleans()), draw(st.booleans())
    generator = torch.Generator().manual_seed(seed)
    draws = Augmentation(generator, padding=padding, blur=blur, noise=noise).draw(x)
    if draw(st.booleans()):
        draws = dataclasses.replace(
            draws,
            angle=draw(st.floats(-180, 180)),
            shift=(draw(st.integers(-side, side)), draw(st.integers(-side, side))),
            scale=draw(st.floats(0.25, 3)),
            flip=draw(st.booleans()),
        )
    return x, draws, padding


@settings(max_examples=200, deadline=None)
@given(cases())
def test_the_view_is_that_of_the_stages(case):
    x, draws, padding = case
    before = x.clone()
    view, expected = apply_view(x, draws, padding=padding), stage_by_stage(x, draws, padding)
    assert torch.equal(x, before)
    assert view.dtype == x.dtype
    assert view.is_contiguous()
    tolerance = 1e-12 if x.dtype == torch.float64 else 16 * torch.finfo(x.dtype).eps
    torch.testing.assert_close(view, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("operation", range(5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_colours_have_the_bits_of_torchvision(operation, dtype):
    x = images(20, 9, dtype)
    for factor in augment.FACTOR_RANGES[operation]:
        factors = [1.0] * 5
        factors[operation] = factor
        draws = dataclasses.replace(NOTHING, order=(operation,), factor=tuple(factors))
        assert torch.equal(apply_view(x, draws), stage_by_stage(x, draws))


@pytest.mark.parametrize("turn", [-0.5, -1 / 3, 0.0, 1 / 3, 0.5])
def test_hue_at_the_corners_of_the_cube(turn):
    levels = torch.linspace(0, 1, 5)
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 1, 125)
    cube = torch.nn.functional.pad(cube, (0, 0, 0, 124))
    draws = dataclasses.replace(NOTHING, order=(augment.HUE,), factor=(1, 1, 1, turn, 1))
    assert torch.equal(apply_view(cube, draws), stage_by_stage(cube, draws))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("side", [4, 5])
def test_black_beyond_the_padding_fades_in_as_in_torchvision(side, padding):
    x = torch.ones(1, 3, side, side, dtype=torch.float64)
    for shift in range(2 * side):
        for sigma in (None, 0.5):
            draws = dataclasses.replace(
                NOTHING, shift=(shift, -shift), angle=20.0, scale=0.7, sigma=sigma
            )
            expected = stage_by_stage(x, draws, padding)
            torch.testing.assert_close(apply_view(x, draws, padding=padding), expected)
    assert expected.max() == 0  # the last shift has moved everything out


@pytest.mark.parametrize("sigma", [0.001, 0.16, 0.17, 0.3, 0.34, 0.5, 2.0])
def test_taps_that_are_left_out_cannot_be_seen(sigma):
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-15)):
        x = images(2, 8, dtype)
        draws = dataclasses.replace(NOTHING, sigma=sigma)
        expected = stage_by_stage(x, draws)
        torch.testing.assert_close(apply_view(x, draws), expected, rtol=0, atol=tolerance)


def test_nothing_drawn_is_the_clipped_image():
    x = images(3, 6)
    for padding in PADDINGS:
        assert torch.equal(apply_view(x, NOTHING, padding=padding), x.clamp(0, 1))
    flipped = apply_view(x, dataclasses.replace(NOTHING, flip=True))
    assert torch.equal(flipped, x.clamp(0, 1).flip(-1))


def test_blocks_change_no_bit(monkeypatch):
    x = images(7, 8)
    draws = Augmentation(torch.Generator().manual_seed(0)).draw(x)
    whole = apply_view(x, draws)
    monkeypatch.setattr(augment, "images_at_once", lambda x: 3)
    assert torch.equal(apply_view(x, draws), whole)


def test_images_in_any_memory_layout():
    x = images(3, 8)
    draws = Augmentation(torch.Generator().manual_seed(0)).draw(x)
    view = apply_view(x.contiguous(memory_format=torch.channels_last), draws)
    assert torch.equal(view, apply_view(x, draws))
    assert view.is_contiguous()


def test_an_empty_batch_has_an_empty_view():
    assert Augmentation(torch.Generator())(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 3, 8, 9), (1, 3, 1, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"views: expected images \[B,3,S,S\]"):
        apply_view(torch.zeros(shape), NOTHING)


def test_another_padding_is_refused():
    with pytest.raises(ValueError, match="padding: expected replicate or reflect, got 'edge'"):
        apply_view(torch.zeros(1, 3, 4, 4), NOTHING, padding="edge")


def test_views_come_from_the_generator_and_stay_in_range():
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, again = (Augmentation(torch.Generator().manual_seed(1)) for _ in range(2))
    before = torch.get_rng_state()
    views = [first(x) for _ in range(20)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again(x), views[0])
    assert not torch.equal(views[0], views[1])
    assert all(v.min() >= 0 and v.max() <= 1 and v.shape == x.shape for v in views)


def test_draws_stay_in_their_ranges():
    x, chain = torch.zeros(1, 3, 32, 32), Augmentation(torch.Generator().manual_seed(2))
    draws = [chain.draw(x) for _ in range(300)]
    assert {d.flip for d in draws} == {True, False}
    assert max(abs(s) for d in draws for s in d.shift) == 4
    assert all(sorted(d.order) == [0, 1, 2, 3, 4] for d in draws)
    assert all(abs(d.angle) <= 15 and 0.9 <= d.scale <= 1.1 for d in draws)
    assert all(abs(d.factor[3]) <= 0.06 for d in draws)


@pytest.mark.gpu
def test_a_device_gives_the_same_view():
    x = images(20, 16)
    for padding in PADDINGS:
        draws = Augmentation(torch.Generator().manual_seed(0), padding=padding).draw(x)
        there = dataclasses.replace(draws, noise=draws.noise.cuda())
        view = apply_view(x.cuda(), there, padding=padding)
        # The hue is turned in float32, where a device may round otherwise.
        torch.testing.assert_close(
            view.cpu(), apply_view(x, draws, padding=padding), rtol=0, atol=2e-5
        )
