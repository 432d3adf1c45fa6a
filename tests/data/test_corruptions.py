"""corrupt(): independence of batch and order, what changes the pixels, refusals, textures."""

import numpy as np
import pytest
import torch
from PIL import Image

from ctta.data.corruptions import (
    ALL,
    CORRUPTIONS,
    RECIPE_VERSION,
    TABLES,
    VALIDATION_CORRUPTIONS,
    corrupt,
)
from ctta.data.corruptions.digital import jpeg
from ctta.data.corruptions.frost_textures import FILES, LOOKS, QUANTILES, textures
from ctta.data.corruptions.weather import plasma

RANDOM = {
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost",
    "fog", "elastic_transform", "speckle_noise", "spatter",
}  # fmt: skip


def images(n=5, side=32):
    generator = torch.Generator().manual_seed(n)
    coarse = torch.rand(n, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


IDS = torch.tensor([3, 0, 11, 2**40, 12])


def test_names_and_tables_are_complete():
    assert len(CORRUPTIONS) == 15 and len(VALIDATION_CORRUPTIONS) == 4 and len(set(ALL)) == 19
    assert CORRUPTIONS[0] == "gaussian_noise" and CORRUPTIONS[-1] == "jpeg_compression"
    assert isinstance(RECIPE_VERSION, int)
    for table in TABLES.values():
        assert set(table) == set(ALL)
        assert all(len(rows) == 5 and len({len(r) for r in rows}) == 1 for rows in table.values())


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", ALL)
def test_an_image_has_the_same_pixels_in_any_batch_and_order(name, severity):
    x = images()
    before = x.clone()
    whole = corrupt(x, name, severity, image_ids=IDS, seed=4)
    assert whole.dtype == torch.uint8 and whole.shape == x.shape and torch.equal(x, before)
    order = torch.tensor([4, 2, 0, 1, 3])
    shuffled = corrupt(x[order], name, severity, image_ids=IDS[order], seed=4)
    assert torch.equal(shuffled, whole[order])
    alone = [corrupt(x[i : i + 1], name, severity, image_ids=IDS[i : i + 1], seed=4)
             for i in range(5)]  # fmt: skip
    assert torch.equal(torch.cat(alone), whole)
    assert not torch.equal(whole, x)


@pytest.mark.parametrize("name", ALL)
def test_id_and_seed_change_the_pixels_of_the_random_ones_only(name):
    x = images(2)
    base = corrupt(x, name, 5, image_ids=torch.tensor([1, 2]))
    other_id = corrupt(x, name, 5, image_ids=torch.tensor([3, 4]))
    other_seed = corrupt(x, name, 5, image_ids=torch.tensor([1, 2]), seed=1)
    assert torch.equal(base, other_id) == (name not in RANDOM)
    assert torch.equal(base, other_seed) == (name not in RANDOM)


@pytest.mark.parametrize("name", ALL)
def test_the_global_generators_are_left_alone(name):
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    corrupt(images(1), name, 3, image_ids=torch.tensor([1]))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("name", ALL)
def test_non_square_images_and_the_imagenet_table(name):
    x = images(2, 64)[:, :, :48]
    y = corrupt(x, name, 2, image_ids=torch.arange(2), table="imagenet")
    assert y.shape == x.shape and y.dtype == torch.uint8


@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_is_returned_empty(name):
    x = torch.empty((0, 3, 32, 32), dtype=torch.uint8)
    assert corrupt(x, name, 1, image_ids=torch.empty(0, dtype=torch.int64)).shape == x.shape


def test_the_table_follows_the_side():
    x, ids = images(2), torch.arange(2)
    assert torch.equal(
        corrupt(x, "contrast", 3, image_ids=ids),
        corrupt(x, "contrast", 3, image_ids=ids, table="cifar"),
    )
    big = images(1, 96)
    assert torch.equal(
        corrupt(big, "contrast", 3, image_ids=ids[:1]),
        corrupt(big, "contrast", 3, image_ids=ids[:1], table="imagenet"),
    )


def test_jpeg85_compresses_the_result_once_more():
    x, ids = images(2), torch.arange(2)
    plain = corrupt(x, "gaussian_noise", 5, image_ids=ids)
    stored = corrupt(x, "gaussian_noise", 5, image_ids=ids, jpeg85=True)
    assert torch.equal(stored, jpeg(plain, 85)) and not torch.equal(stored, plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corruption": "rain"}, "unknown corruption 'rain'.*gaussian_noise"),
        ({"severity": 9}, "severity must be 1, 2, 3, 4 or 5, got 9"),
        ({"severity": 0}, "severity"),
        ({"table": "svhn"}, "table must be one of cifar, imagenet"),
        ({"images_u8": torch.zeros(2, 3, 32, 32)}, "images must be uint8.*float32"),
        ({"images_u8": torch.zeros(2, 1, 32, 32, dtype=torch.uint8)}, r"\[B, 3, H, W\]"),
        ({"images_u8": torch.zeros(2, 3, 16, 32, dtype=torch.uint8)}, "at least 32x32"),
        ({"image_ids": torch.arange(3)}, r"image_ids must be int64 \[2\]"),
        ({"image_ids": torch.zeros(2)}, "image_ids must be int64"),
    ],
)
def test_bad_input_is_refused_in_words(change, message):
    arguments = {"images_u8": images(2), "corruption": "fog", "severity": 3,
                 "image_ids": torch.arange(2)} | change  # fmt: skip
    with pytest.raises(ValueError, match=message):
        corrupt(**arguments)


def test_plasma_fills_the_unit_range_and_wraps_around():
    u = torch.rand(3, 1023, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    heights = plasma(u, 32, 2.0)
    assert torch.equal(heights.amin((1, 2)), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(heights.amax((1, 2)), torch.ones(3, dtype=torch.float64))
    inside = heights.diff(dim=2).abs().mean()
    seam = (heights[:, :, 0] - heights[:, :, -1]).abs().mean()
    assert seam < 2 * inside


def test_synthetic_textures_have_the_photographs_sizes_and_greys():
    for sheet, look in zip(textures(None, 1, 33, 33), LOOKS, strict=True):
        assert sheet.shape == (3, look.rows, look.columns)
        grey = sheet.double().mean(0).numpy()
        assert np.abs(np.percentile(grey, QUANTILES[2:7]) - look.greys[2:7]).max() < 4


def test_textures_are_read_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    for i, name in enumerate(FILES):
        sheet = np.full((90, 120, 3), 40 * i, np.uint8) + rng.integers(0, 2, (90, 120, 3), np.uint8)
        Image.fromarray(sheet).save(tmp_path / name)
    x = torch.zeros((40, 3, 32, 32), dtype=torch.uint8)
    y = corrupt(x, "frost", 5, image_ids=torch.arange(40), table="imagenet", texture_dir=tmp_path)
    levels = y.double().mean((1, 2, 3)) / 0.75 / 40
    assert set(levels.round().int().tolist()) == {0, 1, 2, 3, 4}


def test_a_folder_without_the_textures_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"texture_dir must hold frost1.png"):
        corrupt(images(1), "frost", 1, image_ids=torch.arange(1), texture_dir=tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_memory_layout_does_not_matter(name):
    x = images(3)
    ids = torch.arange(6)[::2]
    plain = corrupt(x, name, 4, image_ids=ids.clone())
    channels_last = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(corrupt(channels_last, name, 4, image_ids=ids), plain)
