"""Blurs, snow and elastic transform against slow formulas written out from their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter as scipy_gaussian

from ctta.data.corruptions import blur, functions, parameters
from ctta.data.corruptions.blur import clipped_zoom, defocus_kernel, gaussian_taps, motion_blur
from ctta.data.corruptions.geometric import smooth


def random_images(n=2, height=32, width=40, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), generator=g, dtype=torch.uint8)


def apply(name, images, params, **draws):
    return functions(name)[1](images, params, draws)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0, 6.0])
def test_gaussian_taps_sum_to_one_and_reach_four_sigma(sigma):
    taps = gaussian_taps(sigma)
    assert len(taps) - 1 == int(4 * sigma + 0.5)
    assert taps[0] + 2 * sum(taps[1:]) == pytest.approx(1, abs=1e-14)
    assert taps == sorted(taps, reverse=True)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
def test_gaussian_filters_have_scipys_bits_in_both_border_modes(sigma):
    x = torch.rand(33, 41, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nearest = scipy_gaussian(x.numpy(), sigma, mode="nearest", truncate=4.0)
    assert np.array_equal(blur.gaussian_filter(x, sigma).numpy(), nearest)
    reflect = scipy_gaussian(x.numpy(), sigma, mode="reflect", truncate=3.0)
    assert np.allclose(smooth(x[None], sigma)[0].numpy(), reflect, rtol=0, atol=1e-15)


def test_a_gaussian_of_radius_512_equals_scipys_at_224():
    x = torch.rand(224, 224, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = scipy_gaussian(x.numpy(), 170.8, mode="reflect", truncate=3.0)
    assert np.allclose(smooth(x[None], 170.8)[0].numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("radius", "taps"), [(3, 29), (4, 49), (6, 113), (8, 197), (10, 317)])
def test_the_disc_has_the_references_number_of_taps(radius, taps):
    unsmoothed = defocus_kernel(radius, 0.01)
    assert int((unsmoothed > 0).sum()) == taps
    assert float(unsmoothed.max()) == pytest.approx(1 / taps, rel=1e-6)


def test_the_small_tables_discs_are_a_gaussian_a_plus_and_a_box():
    for severity in (1, 2, 3):
        radius, sigma = parameters("defocus_blur", severity, "cifar")
        line = np.exp(-0.5 * np.array([-1, 0, 1]) ** 2 / sigma**2)
        line /= line.sum()
        middle = defocus_kernel(radius, sigma)[7:10, 7:10].numpy()
        assert np.allclose(middle, np.outer(line, line), atol=1e-7)
    plus = defocus_kernel(*parameters("defocus_blur", 4, "cifar"))
    box = defocus_kernel(*parameters("defocus_blur", 5, "cifar"))
    assert np.allclose(plus[7:10, 7:10], np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5, atol=1e-5)
    assert np.allclose(box[7:10, 7:10], 1 / 9, atol=1e-6)


def test_defocus_brightens_where_the_kernel_sums_to_more_than_one():
    grey = torch.full((1, 3, 40, 40), 200, dtype=torch.uint8)
    out = apply("defocus_blur", grey, parameters("defocus_blur", 4, "imagenet"))
    assert torch.equal(out, torch.full_like(grey, int(200 * 1.012975)))


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_both_forms_of_a_glass_pass_equal_the_sequential_loop(d):
    height, width = 14, 17
    levels = random_images(2, height, width, seed=d)
    g = torch.Generator().manual_seed(d)
    dxdy = torch.randint(-d, d, (2, height - 2 * d, width - 2 * d, 2), generator=g)
    expected = levels.clone()
    for b in range(2):
        for i, h in enumerate(range(height - d, d, -1)):
            for j, w in enumerate(range(width - d, d, -1)):
                dx, dy = dxdy[b, i, j].tolist()
                expected[b, :, h, w] = expected[b, :, h + dy, w + dx]
    assert torch.equal(blur.shuffle(levels, dxdy, d), expected)
    assert torch.equal(blur.shuffle_at_once(levels, dxdy, d), expected)


def test_a_glass_chain_across_the_whole_image_is_followed_to_its_end():
    # Every pixel copies its right neighbour, just written: one value runs through the row.
    levels = random_images(1, 32, 32)
    dxdy = torch.zeros(1, 28, 28, 2, dtype=torch.int64)
    dxdy[..., 0] = 1
    out = blur.shuffle_at_once(levels, dxdy, 2)
    assert torch.equal(out[..., 3:31, 3:31], levels[..., 3:31, 31:].expand(1, 3, 28, 28))


@pytest.mark.parametrize("angle", [-135.0, -90.0, -45.0, -17.3, 0.0, 30.0, 44.9])
def test_motion_blur_equals_its_sum_with_clamped_indices(angle):
    images = random_images(1, 32, 36)
    radius, sigma = 6, 2.0
    u = images[0].double().numpy()
    k = np.exp(-0.5 * np.arange(2 * radius + 1) ** 2 / sigma**2)
    total = np.zeros_like(u)
    for i, weight in enumerate(k / k.sum()):
        dr = math.ceil(i * math.sin(math.radians(angle)) - 0.5)
        dc = math.ceil(i * math.cos(math.radians(angle)) - 0.5)
        rows, columns = np.arange(32) + dr, np.arange(36) + dc
        total += weight * u[:, rows.clip(0, 31)][:, :, columns.clip(0, 35)]
    expected = np.floor(total + 1 / 514)
    got = motion_blur(images, torch.tensor([angle]), radius, sigma)[0].numpy()
    assert np.abs(got - expected).max() <= 1
    assert (got != expected).mean() <= 0.002


def test_motion_blur_is_one_sided():
    point = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    point[:, :, 16, 16] = 255
    lit = motion_blur(point, torch.tensor([0.0]), 6, 2.0)[0, 0]
    assert lit[16, 17:].sum() == 0 and lit[:16].sum() == 0 and lit[17:].sum() == 0
    line = lit[16, :17].flip(0).tolist()
    assert line == sorted(line, reverse=True) and line[0] > line[1] > line[2] > 0


def test_motion_blur_keeps_every_flat_level():
    flat = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 8, 8)
    for radius, sigma in {parameters("motion_blur", s, t) for s in (1, 2, 3, 4, 5)
                          for t in ("cifar", "imagenet")}:  # fmt: skip
        out = motion_blur(flat, torch.tensor([12.0]), int(radius), sigma)
        assert torch.equal(out, flat)


def test_zoom_counts_are_what_the_references_float_ranges_yield():
    steps = {"cifar": [0.01] * 5, "imagenet": [0.01, 0.01, 0.02, 0.02, 0.03]}
    counts = {"cifar": [7, 12, 16, 21, 26], "imagenet": [12, 16, 11, 13, 11]}
    for table, expected in counts.items():
        found = [parameters("zoom_blur", s, table) for s in (1, 2, 3, 4, 5)]
        assert [int(p[0]) for p in found] == expected
        assert [p[1] for p in found] == steps[table]


def zoomed_slowly(x, factor):
    """Corner-aligned bilinear zoom of one plane, pixel by pixel."""
    sides = x.shape
    small = [math.ceil(s / factor) for s in sides]
    start = [(s - c) // 2 for s, c in zip(sides, small, strict=True)]
    large = [round(c * factor) for c in small]
    out = np.empty(sides)
    for r in range(sides[0]):
        for c in range(sides[1]):
            at = []
            for axis, j in enumerate((r, c)):
                j += (large[axis] - sides[axis]) // 2
                at.append(j * (small[axis] - 1) / (large[axis] - 1))
            (r0, c0), (fr, fc) = [int(a) for a in at], [a % 1 for a in at]
            r1, c1 = min(r0 + 1, small[0] - 1), min(c0 + 1, small[1] - 1)
            r0, r1, c0, c1 = r0 + start[0], r1 + start[0], c0 + start[1], c1 + start[1]
            out[r, c] = (x[r0, c0] * (1 - fc) + x[r0, c1] * fc) * (1 - fr) + (
                x[r1, c0] * (1 - fc) + x[r1, c1] * fc
            ) * fr
    return out


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.15, 1.3, 2.5, 4.5])
def test_the_zoom_is_corner_aligned_and_centred(factor):
    x = torch.rand(1, 1, 32, 37, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = zoomed_slowly(x[0, 0].numpy(), factor)
    assert np.allclose(clipped_zoom(x, factor)[0, 0].numpy(), expected, rtol=0, atol=1e-12)


def test_zoom_blur_counts_the_sharp_image_twice():
    images = random_images(1)
    x = images[0, 0].double().numpy() / 255
    # 1.05 enlarges; at 1.01 this side's zoom is the identity and every value a tie to truncate.
    expected = np.trunc((2 * x + zoomed_slowly(x, 1.05)) / 3 * 255)
    got = apply("zoom_blur", images, (2, 0.05))[0, 0].numpy()
    assert np.abs(got - expected).max() <= 1
    assert (got != expected).mean() <= 0.03


def snow(images, params, seed=4):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(len(images), *images.shape[2:], generator=g)
    return apply("snow", images, params, z=z, angle=torch.tensor([-100.0]).double())


def test_snow_adds_the_layer_and_the_layer_turned_by_180_degrees():
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    out = snow(black, (0.1, 0.3, 1.0, 0.5, 10, 4, 1.0))
    assert out.max() > 0 and torch.equal(out, out.flip(2, 3))
    assert torch.equal(out[:, 0], out[:, 1]) and torch.equal(out[:, 0], out[:, 2])


def test_without_flakes_snow_only_whitens():
    images = random_images(1, 32, 32)
    x = images.double() / 255
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None]).sum(1, keepdim=True)
    expected = (0.8 * x + 0.2 * torch.maximum(x, 1.5 * grey + 0.5)).clamp(max=1) * 255
    got = snow(images, (0.1, 0.3, 1.0, 99.0, 10, 4, 0.8))
    assert (got - expected.floor()).abs().max() <= 1
    assert (got != expected.floor()).double().mean() <= 0.01


def elastic(images, params, *, points=0.0, dx=0.0, dy=0.0):
    n, _, height, width = images.shape
    fields = {"dx": dx, "dy": dy}
    draws = {k: torch.full((n, height, width), v, dtype=torch.float64) for k, v in fields.items()}
    points = torch.full((n, 3, 2), points, dtype=torch.float64)
    return apply("elastic_transform", images, params, points=points, **draws)


def test_a_constant_shift_moves_the_image_with_the_right_border():
    images = random_images(1)
    # The three points move by (+2, +2): the first step mirrors without repeating the edge.
    down = elastic(images, (0.0, 0.0, 2.0), points=1.0)
    assert (down[..., 2:, 2:].int() - images[..., :-2, :-2].int()).abs().max() <= 1
    assert (down[..., 0, 2:].int() - images[..., 2, :-2].int()).abs().max() <= 1
    # The field asks for row - 2; the second step repeats the edge, and dx leaves columns alone.
    up = elastic(images, (2.0, 1.0, 0.0), dy=-1.0)
    assert (up[..., 2:, :].int() - images[..., :-2, :].int()).abs().max() <= 1
    assert (up[..., 0, :].int() - images[..., 1, :].int()).abs().max() <= 1
    left = elastic(images, (2.0, 1.0, 0.0), dx=1.0)
    assert (left[..., :-2].int() - images[..., 2:].int()).abs().max() <= 1


def test_severity_1_of_the_small_table_is_affine_only():
    images, params = random_images(1), parameters("elastic_transform", 1, "cifar")
    still = elastic(images, params, points=0.5)
    assert torch.equal(elastic(images, params, points=0.5, dx=0.9, dy=-0.9), still)
    assert not torch.equal(elastic(images, params, points=-0.5), still)
