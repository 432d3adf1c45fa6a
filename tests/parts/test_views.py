"""Views of a small batch share a forward where no layer looks at the whole of its batch."""

import pytest
import torch
from torch import nn

from ctta.models.source import WrappedModel, heard
from ctta.parts.views import answers_to_views


def model(*layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 8, 3), *layers, nn.Flatten(), nn.Linear(288, 5))
    return WrappedModel(network.eval(), name="small", image_shape=(3, 8, 8))


def images(n):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def answered(model, x, n_views):
    """Logits, the views that were asked for, images of each forward."""
    given, sizes = [], []

    def augment(x):
        given.append(x + len(given))
        return given[-1]

    with torch.no_grad(), heard(lambda _model, x, _logits: sizes.append(len(x))):
        return answers_to_views(model, augment, x, n_views), given, sizes


@pytest.mark.parametrize(
    ("batch", "n_views", "sizes"),
    [
        (1, 10, [10]),
        (20, 7, [60, 60, 20]),
        (33, 3, [33, 33, 33]),
        (64, 2, [64, 64]),
        (100, 2, [100, 100]),
        (3, 1, [3]),
    ],
)
def test_no_more_images_at_once_than_a_device_needs(batch, n_views, sizes):
    own, x = model(nn.GroupNorm(2, 8)), images(batch)
    logits, given, found = answered(own, x, n_views)
    assert found == sizes
    assert logits.shape == (n_views, batch, 5)
    with torch.no_grad():
        expected = torch.stack([own(view) for view in given])
    torch.testing.assert_close(logits, expected)


LAYERS = {
    "statistics of the batch": (lambda: nn.BatchNorm2d(8, track_running_stats=False), [2, 2, 2]),
    "training": (lambda: nn.BatchNorm2d(8).train(), [2, 2, 2]),
    "dropout": (lambda: nn.Dropout(0.5).train(), [2, 2, 2]),
    "stored statistics": (lambda: nn.BatchNorm2d(8).eval(), [6]),
    "idle dropout": (lambda: nn.Dropout(0.5).eval(), [6]),
    "dropout of nothing": (lambda: nn.Dropout(0.0).train(), [6]),
}


@pytest.mark.parametrize(("layer", "sizes"), LAYERS.values(), ids=LAYERS)
def test_views_stay_apart_where_a_layer_looks_at_the_batch(layer, sizes):
    own, made = model(nn.Identity()), layer()
    own.module[1] = made
    assert answered(own, images(2), 3)[2] == sizes
