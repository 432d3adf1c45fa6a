"""The embedded data: split, identity, corruption by index, refusals."""

import numpy as np
import pytest
import torch

from ctta.data.corrupted import CorruptedImages
from ctta.data.digits import DigitsC, load, stratified_split
from ctta.data.source import SourceData


def test_the_split_is_fixed_stratified_and_disjoint():
    _, labels = load()
    train, test = stratified_split(labels.numpy(), 1000)
    assert (len(train), len(test)) == (1000, 797)
    assert not set(train) & set(test)
    share = [np.bincount(labels.numpy()[part], minlength=10) / len(part) for part in (train, test)]
    assert np.abs(share[0] - share[1]).max() < 0.005
    # Frozen: another split is another version of the data set.
    assert DigitsC().identity["content_sha256"].startswith("47f99b8a260eff4e")


def test_images_are_upsampled_digits():
    images, labels = load()
    assert images.shape == (1797, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert torch.equal(images[:, 0], images[:, 2])
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_sample_has_the_same_pixels_in_any_batch():
    data = DigitsC(n_images=20)
    whole = data.images("fog", 3, np.arange(20))
    some = data.images("fog", 3, np.array([7, 2, 19]))
    assert torch.equal(some, whole[[7, 2, 19]])
    assert whole.dtype == torch.float32
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    assert not torch.equal(whole, data.images("fog", 4, np.arange(20)))


def test_the_corruption_seed_moves_pixels_and_identity():
    a, b = DigitsC(n_images=4), DigitsC(n_images=4, corruption_seed=1)
    assert a.identity != b.identity
    index = np.arange(4)
    assert not torch.equal(a.images("fog", 5, index), b.images("fog", 5, index))
    assert a.identity == DigitsC(n_images=4, severity=3, corruptions=["fog"]).identity


def test_labels_are_those_of_the_images():
    data = DigitsC()
    clean, labels = data.clean_test()
    assert data.labels("fog", 5).tolist() == labels.tolist()
    assert len(clean) == 797
    source = data.source()
    assert len(source.images) == 1000
    assert source.identity != data.identity["content_sha256"]


def test_test_data_is_no_source_data():
    with pytest.raises(ValueError, match="expected the training split, got 'test'"):
        SourceData(torch.zeros(1, 3, 2, 2), torch.zeros(1), "i", split="test")
    with pytest.raises(ValueError, match="as many labels as images"):
        SourceData(torch.zeros(1, 3, 2, 2), torch.zeros(2), "i")
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match="mine has no training data"):
        CorruptedImages(images, torch.arange(2), name="mine").source()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_images": 0}, "n_images: expected 1 to 797, got 0"),
        ({"n_images": 798}, "n_images: expected 1 to 797, got 798"),
        ({"severity": 9}, "severity: expected 1, 2, 3, 4 or 5, got 9"),
        ({"corruption_seed": -1}, "corruption_seed: expected at least 0"),
        ({"corruptions": ["mist"]}, "unknown 'mist'; choose from gaussian_noise"),
        ({"corruptions": ["fog", "fog"]}, "expected different names"),
        ({"corruptions": []}, "expected different names"),
    ],
)
def test_mistakes_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        DigitsC(**change)


def test_own_images_are_checked():
    good = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"images: expected uint8 \[N,3,H,W\], got torch.float32"):
        CorruptedImages(good.float(), torch.arange(2), name="mine")
    with pytest.raises(ValueError, match="labels: expected 2 class numbers"):
        CorruptedImages(good, torch.arange(3), name="mine")
