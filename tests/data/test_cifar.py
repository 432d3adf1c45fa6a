"""CIFAR-10-C and CIFAR-100-C in their published format."""

import pickle
import tracemalloc

import miniature
import numpy as np
import pytest
import torch

from ctta.data import plain_pickle
from ctta.data.cifar import Cifar10C, Cifar100C, clean

KINDS = {10: Cifar10C, 100: Cifar100C}


@pytest.fixture(params=[10, 100])
def published(request, root):
    """(root, K) of one of the two, with its clean set."""
    return root, request.param


def test_a_row_is_the_image_of_its_severity(published):
    root, n_classes = published
    data = KINDS[n_classes](root=root, n_images=8, corruptions=["gaussian_noise", "speckle_noise"])
    for corruption in data.corruptions:
        number = miniature.CORRUPTIONS_19.index(corruption)
        for severity in (1, 3, 5):
            x = data.images(corruption, severity, np.array([6, 0]))
            for row, image in zip((6, 0), x, strict=True):
                pixels = miniature.noise(1000 * number + 100 * severity + row, 32, 32, 3)
                expected = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
                assert torch.equal(image, expected)
    labels = KINDS[n_classes](root=root).labels("gaussian_noise", 5)
    assert labels.dtype == np.int64
    assert labels.tolist() == [i % n_classes for i in range(10_000)]


def test_images_are_resized_as_floats(published):
    root, n_classes = published
    kind = KINDS[n_classes]
    stored = kind(root=root, n_images=8, corruptions=["gaussian_noise"])
    data = kind(root=root, n_images=8, corruptions=["gaussian_noise"], resize=64)
    x, large = (d.images("gaussian_noise", 5, np.array([6, 0])) for d in (stored, data))
    assert large.shape == (2, 3, 64, 64)
    # Halfway between two pixels' centres: a quarter of one, three quarters of the other.
    between = 0.75 * x[..., :-1] + 0.25 * x[..., 1:]
    rows = 0.75 * between[..., :-1, :] + 0.25 * between[..., 1:, :]
    torch.testing.assert_close(large[..., 1:-1:2, 1:-1:2], rows)
    assert data.clean_test()[0][:2].shape == data.source().images[:2].shape == (2, 3, 64, 64)
    assert data.identity["preprocessing"] == "resize 64 bilinear, as stored, uint8 / 255"
    assert data.source().identity != stored.source().identity
    with pytest.raises(ValueError, match="resize: expected at least 1, got 0"):
        kind(root=root, resize=0)


def test_the_clean_sets_are_read_from_the_published_pickles(published):
    root, n_classes = published
    data = KINDS[n_classes](root=root, n_images=8)
    x, y = data.clean_test()
    last = 5 if n_classes == 10 else 1
    row = torch.from_numpy(miniature.noise(last, 10_000, 3072)[3].reshape(3, 32, 32))
    assert torch.equal(x[3:4][0], row.float() / 255)
    assert y.tolist() == list(range(8))
    source = data.source()
    assert len(source) == 50_000
    assert source.images[torch.tensor([49_999])].shape == (1, 3, 32, 32)
    assert torch.equal(
        (source.images[:1][0] * 255).to(torch.uint8).flatten(),
        torch.from_numpy(miniature.noise(0, 10_000 if n_classes == 10 else 50_000, 3072)[0]),
    )


def test_a_corruption_is_never_in_memory_as_a_whole(published):
    root, n_classes = published
    tracemalloc.start()
    data = KINDS[n_classes](root=root, corruptions=["gaussian_noise"])
    data.images("gaussian_noise", 5, np.arange(200))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20  # a whole severity has 30 MB, a file 150


def test_without_the_clean_set_forgetting_is_left_out(tmp_path, caplog):
    miniature.cifar_c(tmp_path, 10, ["gaussian_noise"])
    assert Cifar10C(root=tmp_path).clean_test() is None
    assert "forgetting is not measured; type 'ctta data download cifar10'" in caplog.text


def damage(folder, what):
    path = folder / "fog.npy"
    if what == "missing":
        path.unlink()
    elif what == "shape":
        np.save(path, np.zeros((10_000, 32, 32, 3), np.uint8))
    elif what == "dtype":
        np.lib.format.open_memmap(path, "w+", np.float32, (50_000, 32, 32, 3)).flush()
    elif what == "truncated":
        with path.open("r+b") as file:
            file.truncate(1 << 20)
    elif what == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif what == "no array":
        path.write_text("<html>429 Too Many Requests</html>")
    elif what == "label":
        np.save(folder / "labels.npy", np.full(50_000, 10))
    elif what == "labels":
        np.save(folder / "labels.npy", np.zeros(50_000, np.float32))
    else:
        (folder / "labels.npy").unlink()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "fog.npy: no such file; type 'ctta data download cifar10_c', or set CTTA_DATA"),
        ("shape", r"fog.npy: expected uint8 \[50000, 32, 32, 3\], got uint8 \[10000, 32, 32, 3\]"),
        ("dtype", r"fog.npy: expected uint8 .*, got float32 .*; delete it; type 'ctta data"),
        ("truncated", "fog.npy: truncated, or no array"),
        ("pickle", "fog.npy: truncated, or no array .*; delete it"),
        ("no array", "fog.npy: truncated, or no array .*; delete it"),
        ("label", "labels.npy: expected labels from 0 to 9, got 10 for sample 0; delete it"),
        ("labels", r"labels.npy: expected 50000 whole numbers, got float32 \[50000\]"),
        ("no labels", "labels.npy: no such file; type 'ctta data download cifar10_c'"),
    ],
)
def test_bad_files_are_named_with_the_remedy(tmp_path, what, words):
    damage(miniature.cifar_c(tmp_path, 10, ["fog"]), what)
    with pytest.raises(ValueError, match=words) as raised:
        Cifar10C(root=tmp_path).labels("fog", 5)
    assert "\n" not in str(raised.value)


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"CIFAR-10-C: no such folder .*; type 'ctta data"):
        Cifar10C(root=tmp_path / "nothing")
    with pytest.raises(ValueError, match="n_images: expected 1 to 10000, got 0"):
        Cifar10C(root=tmp_path, n_images=0)


class Harmful:
    def __reduce__(self):
        return (open, ("harm", "w"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Harmful()), r"it asks for \w+\.open"),
        (pickle.dumps({b"data": np.array([{}])}), "it holds an array without numbers"),
        (pickle.dumps(np.zeros(3, ">f8")), "it holds an array of 'f8'"),
        (pickle.dumps(np.float64(1)), r"it asks for numpy\._?core\.multiarray\.scalar"),
        (b"\x80\x02]q\x00(K", "not the expected pickle"),
        (b"", "not the expected pickle"),
        (b"\x80\x02cnumpy\ndtype\n.", "it holds a type"),
        (miniature.python2_pickle({"data": miniature.noise(0, 2, 3)})[:-20], "not the expected"),
        (
            miniature.python2_pickle(miniature.noise(0, 2, 3)).replace(b"J\x03\0", b"J\x09\0"),
            r"it holds 6 numbers for the shape \(2, 9\)",
        ),
    ],
)
def test_a_pickle_that_asks_for_more_than_numbers_is_refused(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(ValueError, match=words) as raised:
        plain_pickle.read(tmp_path / "batch", "delete it")
    assert str(raised.value).startswith(str(tmp_path / "batch"))
    assert str(raised.value).endswith("; delete it")
    assert [path.name for path in tmp_path.iterdir()] == ["batch"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_protocol_come_back(tmp_path, protocol):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.eye(3, 4, dtype="f4"))}
    if protocol == 2:
        arrays = {"a": miniature.noise(0, 2, 3), "b": miniature.noise(1, 4)}
        content = miniature.python2_pickle(arrays)
    else:
        content = pickle.dumps(arrays, protocol)
    (tmp_path / "file").write_bytes(content)
    found = plain_pickle.read(tmp_path / "file", "")
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": miniature.noise(0, 10, 3072)}, "test_batch: expected 'data', uint8"),
        ({"labels": list(range(9))}, "test_batch: expected 'data', uint8"),
        ({"labels": [10] * 10_000}, "test_batch: expected labels from 0 to 9, got 10"),
    ],
)
def test_clean_batches_are_checked(tmp_path, change, words):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    with pytest.raises(ValueError, match="test_batch: no such file; type 'ctta data download"):
        clean("cifar10", tmp_path, "test")
    content = {"data": miniature.noise(0, 10_000, 3072), "labels": [1] * 10_000} | change
    (folder / "test_batch").write_bytes(miniature.python2_pickle(content))
    with pytest.raises(ValueError, match=words):
        clean("cifar10", tmp_path, "test")
