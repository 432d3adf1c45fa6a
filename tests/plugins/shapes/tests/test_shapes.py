"""The data set, the stream and the model do what their names say."""

import numpy as np
import torch
from ctta_shapes.data import Shapes, drawn
from ctta_shapes.model import shapes_net
from ctta_shapes.stream import ThereAndBack

from ctta.methods.source import Source
from ctta.online.loop import clean_error_pct


def shapes(n_images=12):
    return Shapes(n_images=n_images, corruptions=["pixelate", "contrast", "brightness"])


def test_the_images_are_those_of_their_numbers():
    images, labels = drawn(30, seed=1)
    fewer, _ = drawn(10, seed=1)
    assert torch.equal(images[:10], fewer)
    assert labels.bincount().tolist() == [10, 10, 10]


def test_the_way_back_mirrors_the_way_there():
    stream = ThereAndBack(shapes(), batch_size=5, seed=3)
    batches = list(stream)
    assert len(batches) == len(stream) == 18
    visited = [stream.domains[int(batch.domain[0])].corruption for batch in batches[::3]]
    assert visited == ["pixelate", "contrast", "brightness", "brightness", "contrast", "pixelate"]
    assert np.array_equal(batches[0].x, batches[15].x)


def test_the_hashes_tell_it_from_the_way_there_alone():
    streams = [ThereAndBack(shapes(), batch_size=5, seed=s) for s in (0, 1)]
    protocols = {stream.protocol_sha256 for stream in streams}
    assert len(protocols) == 1
    assert len({stream.stream_sha256 for stream in streams}) == 2


def test_the_model_knows_clean_shapes():
    data = shapes(90)
    model = shapes_net(data=data, seed=0, ridge=1.0)
    images, labels = data.clean_test()
    assert clean_error_pct(Source(model), images, labels, batch_size=30) < 10
