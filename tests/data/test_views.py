"""What is seen of a photograph."""

import pytest
import torch
from miniature import jpeg
from PIL import Image
from torchvision import models

from ctta.data.decoding import View
from ctta.models.cards import PUBLISHED


def test_the_view_of_swin_is_that_of_its_weights(tmp_path):
    view = View(resize=238, crop=224, interpolation="bicubic")
    assert str(view) == PUBLISHED["swin_b"].card.preprocessing
    with Image.open(jpeg(tmp_path / "one.jpg", 3, 300, 260)) as image:
        image = image.convert("RGB")
    transform = models.Swin_B_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (transform.mean, transform.std))
    torch.testing.assert_close((view(image) / 255 - mean) / std, transform(image))
    assert not torch.equal(view(image), View(resize=238, crop=224)(image))


def test_another_interpolation_is_refused():
    with pytest.raises(ValueError, match="expected bilinear or bicubic, got 'lanczos'"):
        View(resize=8, interpolation="lanczos")
