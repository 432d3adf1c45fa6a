"""Objects taken apart: what moves, what stays, where the mean goes."""

import numpy as np
import pytest
import torch

from ctta.parts.destroy import Occlusion, Shuffle, resized, shuffled_patches


def numbered(n=2, channels=3, side=12):
    """Every pixel has a value of its own."""
    count = n * channels * side * side
    return torch.arange(count, dtype=torch.float64).view(n, channels, side, side)


def cut(image, per_side):
    """Patches of [C,S,S] row by row, with numpy's slices."""
    size = image.shape[-1] // per_side
    return [
        np.asarray(image)[:, r * size : (r + 1) * size, c * size : (c + 1) * size]
        for r in range(per_side)
        for c in range(per_side)
    ]


@pytest.mark.parametrize("per_side", [1, 2, 3, 4, 12])
def test_patch_j_is_the_old_patch_of_the_order(per_side):
    x, n = numbered(), per_side**2
    orders = torch.stack([torch.randperm(n), torch.arange(n).flip(0)])
    made = shuffled_patches(x, orders, per_side)
    for old, new, order in zip(x, made, orders.tolist(), strict=True):
        before, after = cut(old, per_side), cut(new, per_side)
        for j, source in enumerate(order):
            np.testing.assert_array_equal(after[j], before[source])


def test_the_order_undone_is_the_image():
    x, orders = numbered(), torch.stack([torch.randperm(9), torch.randperm(9)])
    made = shuffled_patches(x, orders, 3)
    assert torch.equal(shuffled_patches(made, orders.argsort(1), 3), x)


def test_a_side_that_does_not_divide_is_resized_there_and_back():
    x = torch.rand(2, 3, 10, 10)
    still = torch.arange(9).expand(2, 9)
    assert torch.equal(shuffled_patches(x, still, 3), resized(resized(x, 9), 10))
    flat = torch.full((2, 3, 10, 10), 0.25)
    moved = shuffled_patches(flat, torch.stack([torch.randperm(9)] * 2), 3)
    torch.testing.assert_close(moved, flat)


def test_each_image_has_an_order_of_its_own():
    x = numbered(1).expand(6, -1, -1, -1)
    made = Shuffle(torch.Generator().manual_seed(0), 4)(x)
    assert len({image.numpy().tobytes() for image in made}) == 6
    for old, new in zip(x, made, strict=True):
        patches = [{p.tobytes() for p in cut(image, 4)} for image in (old, new)]
        assert patches[0] == patches[1]
        assert len(patches[0]) == 16


def test_pixels_move_alike_in_all_images_and_channels():
    x = numbered()
    made = Shuffle(torch.Generator().manual_seed(0), None)(x).flatten(2)
    order = made[0, 0].long()  # the first channel holds each pixel's own number
    assert sorted(order.tolist()) == list(range(144))
    assert order.tolist() != list(range(144))
    assert torch.equal(made, x.flatten(2)[..., order])


@pytest.mark.parametrize("per_side", [None, 3])
def test_every_order_is_as_likely(per_side):
    x = numbered(1, 1, 3)
    shuffle = Shuffle(torch.Generator().manual_seed(1), per_side)
    first = torch.stack([shuffle(x).flatten()[0] for _ in range(1800)])
    counts = torch.bincount(first.long(), minlength=9)
    assert ((counts - 200).square() / 200).sum() < 26.1  # chi-square, 8 degrees, 0.1 %


@pytest.mark.parametrize("per_side", [None, 2])
def test_a_saved_generator_goes_on(per_side):
    x = numbered()
    first, second = (Shuffle(torch.Generator().manual_seed(s), per_side) for s in (0, 1))
    first(x)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


def test_a_square_becomes_the_mean_of_its_image_and_channel():
    x = numbered()
    before = x.clone()
    made = Occlusion(4, 2, 7)(x)
    assert torch.equal(x, before)
    inside = torch.zeros(12, 12, dtype=torch.bool)
    inside[2:6, 7:11] = True
    assert torch.equal(made[..., ~inside], x[..., ~inside])
    expected = np.asarray(x).mean((2, 3))[..., None].repeat(16, -1)
    np.testing.assert_allclose(made[..., inside], expected)
    whole = Occlusion(12, 0, 0)(x)
    torch.testing.assert_close(whole, x.mean((2, 3), keepdim=True).expand_as(x))
