"""ImageNet-D109 in the format of the benchmark's lists."""

import miniature
import numpy as np
import pytest
from timm.data import ImageNetInfo

from ctta.data.imagenet_d109 import CLASSES, ImageNetD109


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    miniature.imagenet_d109(folder)
    miniature.imagenet_val(folder)
    return folder


def test_the_lists_decide_order_and_labels(root):
    data = ImageNetD109(root=root)
    assert data.corruptions == ("clipart", "infograph", "painting", "real", "sketch")
    assert data.labels("infograph", 0).tolist() == [0, 2, 108]
    assert data.images("infograph", 0, np.array([2])).shape == (1, 3, 224, 224)
    assert ImageNetD109(root=root, n_images=2).labels("real", 0).tolist() == [0, 2]
    assert data.identity["preprocessing"] == "resize 256 bilinear, centre crop 224, uint8 / 255"


def test_the_classes_are_those_of_the_folders():
    info = ImageNetInfo("imagenet-1k")
    names = [info.index_to_description(number) for number in CLASSES]
    assert len(set(CLASSES)) == 109
    for label, word in ((0, "aircraft carrier"), (2, "ant"), (50, "lantern"), (108, "zebra")):
        assert word in names[label]


def test_clean_images_are_those_of_the_classes(root):
    images, labels = ImageNetD109(root=root).clean_test()
    assert len(images) == len(labels) == 109  # one image of each class in the miniature
    assert sorted(labels.tolist()) == list(range(109))
    zebra = labels.tolist().index(108)
    names = images.images.images.names
    wnid = miniature.wnids()[340]
    assert names[images.images.order[zebra]].startswith(wnid)


def test_bad_input_is_named(root, tmp_path):
    with pytest.raises(ValueError, match="n_images: expected at least 1, got 0"):
        ImageNetD109(root=root, n_images=0)
    with pytest.raises(ValueError, match=r"corruptions: unknown 'fog'; choose from clipart"):
        ImageNetD109(root=root, corruptions=["fog"])
    with pytest.raises(ValueError, match=r"quickdraw_list\.txt: no such file"):
        ImageNetD109(root=root, corruptions=["quickdraw"]).labels("quickdraw", 0)
    with pytest.raises(ValueError, match=r"imagenet_d109_lists/<domain>_list\.txt"):
        ImageNetD109(root=tmp_path)
