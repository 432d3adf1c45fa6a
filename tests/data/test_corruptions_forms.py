"""Parts that have two forms, one compiled for the CPU and one in torch for other devices."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ctta.data.corruptions import compiled, pointwise
from ctta.data.corruptions.blur import (
    HALF_STEP,
    apply_zoom_blur,
    correlate_at_once,
    defocus_kernel,
    filter_rows,
    gaussian_filter,
    gaussian_taps,
    motion_blur_at_once,
    motion_steps,
    shuffle,
    shuffle_at_once,
    zoom_blur_at_once,
)
from ctta.data.corruptions.geometric import fold, inverse_affine, sample, sample_at_once, smooth
from ctta.data.corruptions.noise import add_noise, add_noise_at_once
from ctta.data.corruptions.photometric import change_hsv, change_hsv_at_once
from ctta.data.corruptions.pixels import to_uint8, to_uint8_at_once
from ctta.data.corruptions.snow import add_snow_at_once
from ctta.data.corruptions.weather import add_fog_at_once, plasma, plasma_at_once


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.5, 6.0])
def test_both_separable_filters_are_equal(sigma):
    x = torch.rand(2, 3, 33, 40, dtype=torch.float64, generator=generator())
    taps = gaussian_taps(sigma)
    r = len(taps) - 1
    down = filter_rows(x, taps, torch.arange(-r, 33 + r).clamp(0, 32)).transpose(-1, -2)
    both = filter_rows(down, taps, torch.arange(-r, 40 + r).clamp(0, 39)).transpose(-1, -2)
    assert torch.allclose(gaussian_filter(x, sigma), both, rtol=0, atol=1e-14)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_both_shuffles_are_equal(d):
    levels = (torch.rand(3, 3, 37, 33, generator=generator()) * 256).to(torch.uint8)
    dxdy = torch.randint(-d, d, (3, 37 - 2 * d, 33 - 2 * d, 2), generator=generator())
    assert torch.equal(shuffle(levels, dxdy, d), shuffle_at_once(levels, dxdy, d))
    shared = dxdy[:1]
    assert torch.equal(shuffle(levels, shared, d), shuffle_at_once(levels, shared, d))


def test_a_shuffle_copies_and_does_not_swap():
    levels = torch.arange(36, dtype=torch.uint8).reshape(1, 1, 6, 6).expand(1, 3, 6, 6)
    dxdy = torch.full((1, 4, 4, 2), -1)
    out = shuffle(levels, dxdy, 1)[0, 0]
    assert torch.equal(out[2:, 2:], levels[0, 0, 1:-1, 1:-1])
    assert torch.equal(out[:2], levels[0, 0, :2]) and torch.equal(out[:, :2], levels[0, 0, :, :2])


@pytest.mark.parametrize("repeat_edge", [True, False])
def test_both_samplers_are_equal(repeat_edge):
    x = torch.rand(2, 3, 20, 24, generator=generator())
    row = torch.rand(2, 20, 24, dtype=torch.float64, generator=generator()) * 120 - 50
    column = row.flip(2) * 0.9
    plain = sample_at_once(x, row, column, repeat_edge=repeat_edge)
    assert torch.allclose(sample(x, row, column, repeat_edge=repeat_edge), plain, atol=1e-6)


@pytest.mark.parametrize("degrees", [-135.0, -90.0, -20.0, 0.0, 33.0])
def test_both_motion_blurs_are_equal(degrees):
    levels = torch.randint(0, 256, (2, 3, 33, 48), generator=generator(), dtype=torch.uint8)
    steps = motion_steps(torch.tensor([degrees, -degrees]), 13)
    weights = torch.rand(13, generator=generator())
    weights /= weights.sum()
    fast = compiled.motion_blur(levels.numpy(), steps, weights.numpy(), np.float32(HALF_STEP))
    plain = motion_blur_at_once(levels, steps, weights.tolist())
    # Equal to the bit where torch's own kernel fuses multiplications and sums.
    difference = (torch.from_numpy(fast).int() - plain.int()).abs()
    assert int(difference.max()) <= 1 and float(difference.double().mean()) < 0.01


@pytest.mark.parametrize(("count", "step"), [(2, 0.01), (26, 0.01), (11, 0.03)])
def test_both_zoom_blurs_are_equal(count, step):
    shape = (2, 3, 64, 80)
    images = torch.randint(0, 256, shape, generator=generator(), dtype=torch.uint8)
    fast = apply_zoom_blur(images, (count, step), {})
    plain = zoom_blur_at_once(images, count, (1 + step) - 1)
    # Equal to the bit where torch's own kernel fuses multiplications and sums.
    difference = (fast.int() - plain.int()).abs()
    assert int(difference.max()) <= 1 and float(difference.double().mean()) < 0.01


@pytest.mark.parametrize(("radius", "sigma"), [(1.5, 0.1), (3, 0.1), (10, 0.5)])
def test_both_correlations_are_equal(radius, sigma):
    kernel = defocus_kernel(radius, sigma)
    reach = len(kernel) // 2
    rows, columns = (kernel > 0).nonzero(as_tuple=True)
    x = torch.rand(2, 3, 32, 36, generator=generator())
    padded = F.pad(x, (reach,) * 4, mode="reflect")
    arrays = (t.numpy() for t in (rows, columns, kernel[rows, columns]))
    fast = compiled.correlate(padded.flatten(0, 1).numpy(), *arrays, reach)
    plain = correlate_at_once(padded, rows, columns, kernel[rows, columns])[:, :, :32, :36]
    assert torch.allclose(torch.from_numpy(fast).view(x.shape), plain, atol=1e-5)
    assert torch.allclose(F.conv2d(padded.flatten(0, 1)[:, None], kernel[None, None])[:, 0],
                          plain.flatten(0, 1), atol=1e-5)  # fmt: skip


def test_the_defocus_kernel_is_not_normalised_where_the_disc_meets_its_border():
    sums = [float(defocus_kernel(*p).sum()) for p in [(3, 0.1), (6, 0.5), (8, 0.5), (10, 0.5)]]
    assert sums == pytest.approx([1, 1, 1.012975, 1.010786], abs=2e-6)


@pytest.mark.parametrize("repeat_edge", [True, False])
def test_fold_reflects_however_far(repeat_edge):
    line = [0, 1, 2, 3, 3, 2, 1, 0] if repeat_edge else [0, 1, 2, 3, 2, 1]
    index = torch.arange(-24, 48)
    expected = [line[i % len(line)] for i in index.tolist()]
    assert fold(index, 4, repeat_edge).tolist() == expected
    assert [compiled.fold(i, 4, repeat_edge) for i in index.tolist()] == expected


def test_a_filter_wider_than_the_image_wraps_more_than_once():
    field = torch.rand(1, 12, 12, dtype=torch.float64, generator=generator())
    mirrored = torch.cat((field, field.flip(1)), 1)
    mirrored = torch.cat((mirrored, mirrored.flip(2)), 2)
    tiled = mirrored.repeat(1, 7, 7)
    expected = gaussian_filter(tiled, 6.0, 3.0)[:, 72:84, 72:84]
    assert torch.allclose(smooth(field, 6.0), expected, atol=1e-12)


def test_the_affine_map_back_returns_the_three_points():
    shift = torch.rand(4, 3, 2, dtype=torch.float64, generator=generator()) * 4 - 2
    inverse = inverse_affine(shift, 32, 32)
    start = torch.tensor([[26.0, 26], [26, 6], [6, 6]], dtype=torch.float64)
    end = torch.cat((start + shift, torch.ones(4, 3, 1, dtype=torch.float64)), 2)
    assert torch.allclose(end @ inverse.transpose(1, 2), start.expand(4, 3, 2), atol=1e-12)


def test_truncation_never_rounds_up():
    x = torch.tensor([-0.1, 0.0, 0.999 / 255, 254.999 / 255, 1.0, 2.0], dtype=torch.float64)
    assert to_uint8(x).tolist() == [0, 0, 0, 254, 255, 255]


@pytest.mark.parametrize("change", [(1, 0, 0.3), (0.1, 0, 0), (2.5, 0.2, 0), (20, 0.2, 0)])
def test_both_changes_of_hsv_are_equal(change):
    # Every colour with steps of 5 levels: all sectors, ties between channels, black and greys.
    levels = torch.arange(0, 256, 5, dtype=torch.uint8)
    images = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 52, -1).contiguous()
    assert torch.equal(change_hsv(images, *change), change_hsv_at_once(images, *change))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_casts_to_levels_are_equal(dtype):
    borders = torch.tensor([0.0, -0.0, 1.0, torch.nan, torch.inf, -torch.inf], dtype=dtype)
    values = torch.rand(2, 3, 999, dtype=dtype, generator=generator()) * 3 - 1
    levels = torch.arange(256, dtype=dtype) / 255
    for y in (borders, values, levels, values.transpose(0, 2)):
        assert torch.equal(to_uint8(y), to_uint8_at_once(y))


@pytest.mark.parametrize("by_level", [False, True])
def test_both_noises_are_equal(by_level):
    images = torch.randint(0, 256, (2, 3, 32, 40), generator=generator(), dtype=torch.uint8)
    z = torch.randn(2, 3, 32, 40, generator=generator())
    fast = add_noise(images, z, 0.2, by_level=by_level)
    assert torch.equal(fast, add_noise_at_once(images, z, 0.2, by_level=by_level))


@pytest.mark.parametrize(("side", "decay"), [(32, 3.0), (64, 1.4)])
def test_both_fogs_are_equal(side, decay):
    u = torch.rand(2, side * side - 1, dtype=torch.float64, generator=generator()) * 2 - 1
    heights = plasma(u, side, decay)
    assert torch.equal(heights, plasma_at_once(u, side, decay))
    shape = (2, 3, side, side - 7)
    images = torch.randint(0, 200, shape, generator=generator(), dtype=torch.uint8)
    fast = torch.from_numpy(pointwise.add_fog(images.numpy(), heights.numpy(), 1.5))
    assert torch.equal(fast, add_fog_at_once(images, heights, 1.5))


def test_both_snows_are_equal():
    images, layer = (
        torch.randint(0, 256, (2, k, 32, 40), generator=generator(), dtype=torch.uint8)
        for k in (3, 1)
    )
    layer = layer // 4
    fast = torch.from_numpy(pointwise.add_snow(images.numpy(), layer.numpy(), 0.8))
    # Equal to the bit where torch's own kernel fuses multiplications and sums.
    difference = (fast.int() - add_snow_at_once(images, layer, 0.8).int()).abs()
    assert int(difference.max()) <= 1 and float(difference.double().mean()) < 0.01
