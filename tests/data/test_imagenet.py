"""The ImageNet family, DomainNet and one's own folders, from files."""

import hashlib

import miniature
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from ctta.data import catalogue
from ctta.data.base import Labelled
from ctta.data.clean import thinned
from ctta.data.domainnet import DomainNet126
from ctta.data.folders import lines_sha256, list_lines
from ctta.data.imagenet import ImageNet3DCC, ImageNetC
from ctta.data.imagenet_variants import ImageNetA, ImageNetR, ImageNetSketch, ImageNetV2
from ctta.data.own import Folder, corrupted
from ctta.methods.source import Source
from ctta.models.source import WrappedModel
from ctta.online.loop import run_online
from ctta.streams.stream import CorruptionStream

VARIANTS = {
    "imagenet_r": ImageNetR,
    "imagenet_a": ImageNetA,
    "imagenet_v2": ImageNetV2,
    "imagenet_sketch": ImageNetSketch,
}
RESIZE_AND_CROP = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """ImageNet-C with a list of six images, and the validation set."""
    folder = tmp_path_factory.mktemp("data")
    miniature.imagenet_c(folder, severities=(1, 5))
    miniature.imagenet_val(folder)
    for name in VARIANTS:
        miniature.variant(folder, name)
    miniature.domainnet(folder)
    return folder


def imagenet_c(root, **changes):
    values = {"subset": "own", "list_file": root / "list.txt", "corruptions": ["fog"]}
    return ImageNetC(root=root, **values | changes)


def test_the_list_decides_the_order_and_the_labels(root):
    data = imagenet_c(root, corruptions=["fog", "speckle_noise"])
    assert data.labels("fog", 5).tolist() == [999, 500, 9, 3, 3, 0]
    for number, corruption in enumerate(data.corruptions):
        for severity in (1, 5):
            x = data.images(corruption, severity, np.array([4, 1]))
            for i, image in zip((4, 1), x, strict=True):
                path = miniature.jpeg(root / "x.jpg", 1000 * number + 100 * severity + i)
                assert torch.equal(image, transforms.ToTensor()(Image.open(path)))


def test_the_extra_resize_is_a_switch(root):
    plain, resized = imagenet_c(root), imagenet_c(root, preprocessing="resize256_crop224")
    path = root / "ImageNet-C" / "fog" / "5" / miniature.imagenet_lines()[2]
    expected = RESIZE_AND_CROP(Image.open(path))
    assert torch.equal(resized.images("fog", 5, np.array([2]))[0], expected)
    assert not torch.equal(plain.images("fog", 5, np.array([2]))[0], expected)
    assert plain.identity != resized.identity


def test_all_takes_every_image_by_class_and_name(tmp_path):
    names = miniature.wnids()
    miniature.class_folders(tmp_path / "ImageNet-C" / "snow" / "5", names, ".JPEG", 0)
    data = ImageNetC(root=tmp_path, subset="all", corruptions=["snow"])
    assert data.labels("snow", 5).tolist() == list(range(1000))
    (tmp_path / "ImageNet-C" / "snow" / "5" / names[7] / "art_0.JPEG").unlink()
    with pytest.raises(ValueError, match=f"{names[7]}: no images in it; type 'ctta data"):
        ImageNetC(root=tmp_path, subset="all", corruptions=["snow"]).labels("snow", 5)
    (tmp_path / "ImageNet-C" / "snow" / "5" / names[7]).rmdir()
    with pytest.raises(ValueError, match="expected the 1000 classes of ImageNet, got 999 of them"):
        ImageNetC(root=tmp_path, subset="all", corruptions=["snow"]).labels("snow", 5)


def test_folders_may_lie_one_level_down(tmp_path):
    miniature.imagenet_c(tmp_path, level="weather", corruptions=("fog",))
    assert len(imagenet_c(tmp_path).labels("fog", 5)) == len(miniature.IDS)


def test_3dcc_has_its_own_corruptions(tmp_path):
    miniature.imagenet_c(tmp_path, "ImageNet-3DCC", tuple(miniature.CORRUPTIONS_3D))
    data = ImageNet3DCC(root=tmp_path, subset="own", list_file=tmp_path / "list.txt", n_images=2)
    assert list(data.corruptions) == miniature.CORRUPTIONS_3D
    assert data.images("z_motion_blur", 5, np.arange(2)).shape == (2, 3, 224, 224)


def test_3dcc_runs_in_the_ten_orders_of_petal(tmp_path):
    miniature.imagenet_c(tmp_path, "ImageNet-3DCC", tuple(miniature.CORRUPTIONS_3D))
    data = ImageNet3DCC(root=tmp_path, subset="own", list_file=tmp_path / "list.txt", n_images=2)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    model = WrappedModel(network.eval(), name="pool", image_shape=(3, 224, 224))
    streams = [
        CorruptionStream(data, order="petal_3dcc", order_number=number, shuffle=False, batch_size=2)
        for number in range(10)
    ]
    assert len({stream.protocol_sha256 for stream in streams}) == 1
    assert len({stream.stream_sha256 for stream in streams}) == 10
    trace = run_online(Source(model), streams[9])
    first = {9: "fog_3d", 0: "near_focus"}
    assert str(streams[0].domains[0]) == f"{first[0]}-5"
    assert trace.domain_names[0] == f"{first[9]}-5"
    assert trace.samples["segment"].tolist() == [n for n in range(12) for _ in range(2)]


def test_clean_images_are_those_of_the_list(root):
    x, y = imagenet_c(root).clean_test()
    assert y.tolist() == [999, 500, 9, 3, 3, 0]
    path = root / "imagenet" / "val" / miniature.imagenet_lines()[0]
    assert torch.equal(x[:1][0], RESIZE_AND_CROP(Image.open(path)))


def test_the_list_is_known_by_its_hash_whatever_its_line_ends(tmp_path, monkeypatch):
    lines = miniature.imagenet_lines()
    by_hand = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    for end, last in (("\n", ""), ("\n", "\n"), ("\r\n", "\r\n")):
        (tmp_path / "list").write_bytes((end.join(lines) + last).encode())
        assert lines_sha256(list_lines(tmp_path / "list", "")) == by_hand
    miniature.imagenet_c(tmp_path, corruptions=("fog",))
    with pytest.raises(
        ValueError, match=r"imagenet_test_image_ids.txt: no such file; type 'ctta d"
    ):
        ImageNetC(root=tmp_path, corruptions=["fog"]).labels("fog", 5)
    (tmp_path / "imagenet_ids").mkdir()
    (tmp_path / "imagenet_ids" / "imagenet_test_image_ids.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="expected the 5,000 lines with SHA-256 d4121626d07722a0"):
        ImageNetC(root=tmp_path, corruptions=["fog"]).labels("fog", 5)
    monkeypatch.setattr(catalogue, "IMAGENET_5000_SHA256", by_hand)
    assert len(ImageNetC(root=tmp_path, corruptions=["fog"]).labels("fog", 5)) == len(lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("n01440764", r"list:1: expected <wnid>/<image>, got 'n01440764'"),
        ("n01440764/../../x", "list:1: expected <wnid>/<image>"),
        ("n99999999/x.JPEG", "list:1: expected <wnid>/<image>"),
        ("\n\n", "list: expected a line for each image, got none"),
        ("n01440764/missing.JPEG", "fog/5/n01440764/missing.JPEG: no such file; type 'ctta data"),
    ],
)
def test_bad_lists_are_named(root, tmp_path, content, words):
    (tmp_path / "list").write_text(content)
    with pytest.raises(ValueError, match=words):
        imagenet_c(root, list_file=tmp_path / "list").labels("fog", 5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not an image", r"JPEG: cannot be decoded \(cannot identify image file .*; type 'ctta"),
        ("truncated", r"JPEG: cannot be decoded \(.*truncated.*\); type 'ctta data"),
        ("small", r"JPEG: cannot be decoded \(expected 224x224 pixels, got 100x50\)"),
    ],
)
def test_an_image_that_does_not_decode_is_named(tmp_path, content, words):
    miniature.imagenet_c(tmp_path, corruptions=("fog",))
    path = tmp_path / "ImageNet-C" / "fog" / "5" / miniature.imagenet_lines()[1]
    if content == "small":
        miniature.jpeg(path, 0, 100, 50)
    else:
        path.write_bytes(path.read_bytes()[:3000] if content == "truncated" else content)
    data = imagenet_c(tmp_path)
    data.images("fog", 5, np.array([0]))
    with pytest.raises(ValueError, match=words) as raised:
        data.images("fog", 5, np.array([0, 1]))
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_map_folders_to_labels(root, name):
    data = VARIANTS[name](root=root)
    n_classes = 200 if name in ("imagenet_r", "imagenet_a") else 1000
    assert (data.n_classes, list(data.corruptions)) == (n_classes, [name])
    assert data.labels(name, 0).tolist() == list(range(n_classes))
    first = {"imagenet_r": 1, "imagenet_a": 2}.get(name)
    assert data.classes is None if first is None else data.classes == list(range(first, 1000, 5))
    path = miniature.jpeg(root / "x.jpg", 2, 260, 300)
    assert torch.equal(data.images(name, 0, np.array([2]))[0], RESIZE_AND_CROP(Image.open(path)))
    _, clean_labels = data.clean_test()
    assert sorted(set(clean_labels.tolist())) == list(range(n_classes))
    with pytest.raises(ValueError, match=r"has no severities; .* stream=continual"):
        data.labels(name, 3)


def test_clean_images_are_evenly_spread_and_not_too_many():
    whole = Labelled(torch.arange(20_000), np.arange(20_000), "all")
    for n_images, expected in ((None, 5000), (9000, 5000), (4, 4)):
        some = thinned(whole, n_images)
        assert len(some.labels) == len(some.images) == expected
        assert (some.labels[0], some.labels[-1]) == (0, 19_999)
        assert some.images[:].tolist() == some.labels.tolist()
        assert np.ptp(np.diff(some.labels)) <= 1
    assert thinned(None, 4) is None


def test_v2_folders_are_numbers_and_not_text(root):
    data = ImageNetV2(root=root)
    assert data.chosen[0][10] == "10/art_0.jpeg"
    with pytest.raises(ValueError, match=r"variant: expected matched-frequency or threshold0.7 or"):
        ImageNetV2(root=root, variant="other")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imagenet_r", "expected 200 folders of ImageNet's classes, got 199; type 'ctta data"),
        ("imagenet_v2", "expected folders 0 to 999, got 999 of them; type 'ctta data"),
        (
            "imagenet_sketch",
            "expected the 1000 classes of ImageNet, got 999 of them; type 'ctta data",
        ),
    ],
)
def test_a_class_that_is_missing_is_noticed(tmp_path, name, words):
    folder = miniature.variant(tmp_path, name)
    next(folder.iterdir()).rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=words):
        VARIANTS[name](root=tmp_path)


def test_domainnet_follows_its_lists(root):
    data = DomainNet126(root=root, source_domain="clipart", n_images=3)
    assert list(data.corruptions) == ["sketch", "real", "painting"]
    assert data.labels("real", 0).tolist() == [11, 12, 13]
    path = miniature.jpeg(root / "x.jpg", 21, 270, 230)
    view = transforms.Compose(
        [transforms.Resize((256, 256)), transforms.CenterCrop(224), transforms.ToTensor()]
    )
    assert torch.equal(data.images("real", 0, np.array([1]))[0], view(Image.open(path)))
    assert len(data.source()) == 4
    assert data.clean_test() is None
    assert data.identity != DomainNet126(root=root, source_domain="clipart").identity


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("real/bird/real_032_000000.jpg 126", "expected labels from 0 to 125, got 126 for sample"),
        ("real/bird/missing.jpg 3", "real/bird/missing.jpg: no such file; type 'ctta data"),
        ("real/bird/real_032_000000.jpg", "real_list.txt:1: expected '<path> <label>', got"),
        ("../secret.jpg 3", "real_list.txt:1: expected '<path> <label>'"),
    ],
)
def test_bad_domainnet_lists_are_named(tmp_path, line, words):
    (miniature.domainnet(tmp_path) / "real_list.txt").write_text(line)
    with pytest.raises(ValueError, match=words):
        DomainNet126(root=tmp_path, source_domain="sketch").labels("real", 0)


def own_folder(root):
    for number, name in enumerate(("cat", "dog")):
        for i in range(2):
            miniature.jpeg(root / "mine" / name / f"{i}.png", 2 * number + i, 50, 40)
    return root / "mine"


def test_ones_own_folder(tmp_path):
    data = Folder(root=own_folder(tmp_path), resize=36, crop=32)
    assert data.labels("folder", 0).tolist() == [0, 0, 1, 1]
    assert data.n_classes == 2
    assert data.images("folder", 0, np.array([3])).shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="folder has no training data"):
        data.source()
    with pytest.raises(ValueError, match="expected the name of a class of ImageNet"):
        Folder(root=tmp_path / "mine", classes="imagenet")


def test_images_without_labels_are_refused(tmp_path):
    folder = own_folder(tmp_path)
    miniature.jpeg(folder / "loose.jpg", 0)
    with pytest.raises(ValueError, match=r"loose.jpg: an image without a label; .*/<class>/"):
        Folder(root=folder)
    with pytest.raises(ValueError, match="an image without a label"):
        Folder(root=folder / "cat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: expected a folder for each class, got none"):
        Folder(root=tmp_path / "empty")
    with pytest.raises(ValueError, match=r"nothing: no such folder; give another dataset.root"):
        Folder(root=tmp_path / "nothing")


def test_any_clean_images_are_corrupted_with_switches(tmp_path):
    values = {"root": tmp_path, "base": str(own_folder(tmp_path)), "resize": 40, "crop": 32}
    plain = corrupted(**values)
    assert plain.labels("fog", 3).tolist() == [0, 0, 1, 1]
    index = np.array([2, 0])
    x = plain.images("fog", 3, index)
    assert x.shape == (2, 3, 32, 32)
    assert torch.equal(plain.images("fog", 3, np.array([0]))[0], x[1])
    stored = corrupted(**values, second_jpeg=True)
    assert stored.identity != plain.identity
    assert not torch.equal(stored.images("fog", 3, index), x)
    for seed, name in enumerate(("frost1.png", "frost2.png", "frost3.png", "frost4.jpg")):
        miniature.jpeg(tmp_path / "frost" / name, seed)
    with pytest.raises(ValueError, match=r"frost5.jpg: no such file; .*null for synthetic ones"):
        _ = corrupted(**values, frost_textures=tmp_path / "frost").identity
    (tmp_path / "frost" / "frost5.jpg").write_text("<html>")
    with pytest.raises(ValueError, match=r"frost5.jpg: cannot be decoded; .*frost_textures=null"):
        _ = corrupted(**values, frost_textures=tmp_path / "frost").identity
    miniature.jpeg(tmp_path / "frost" / "frost5.jpg", 5)
    photographs = corrupted(**values, frost_textures=tmp_path / "frost")
    assert photographs.identity != plain.identity
    different = photographs.images("frost", 3, index) != plain.images("frost", 3, index)
    assert different.any()
    with pytest.raises(ValueError, match="base: expected cifar10, cifar100, imagenet or a folder"):
        corrupted(root=tmp_path, base="nothing")


def test_any_number_of_workers_gives_the_same_images_in_the_same_order(root):
    index = np.array([5, 0, 3, 1])
    one = imagenet_c(root, workers=1)
    many = imagenet_c(root, workers=5)
    assert torch.equal(one.images("fog", 5, index), many.images("fog", 5, index))
    assert one.identity == many.identity
    with pytest.raises(ValueError, match="workers: expected at least 1, got 0"):
        imagenet_c(root, workers=0).labels("fog", 5)
