"""Forwards in pieces: how large they are, that they change nothing, what is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ctta.models.pieces import in_pieces, peak_bytes
from ctta.models.source import WrappedModel, heard, network_dtype

MIB = 2**20


def model(*layers):
    """3 x 64 x 64 images, 64 channels: 1 MiB a feature map."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            *layers,
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 5),
        )
    return WrappedModel(network.eval(), name="wide", image_shape=(3, 64, 64))


def images(n=7):
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class Sizes(nn.Module):
    """Passes on; remembers how many images came at a time."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return x.clone()


def test_live_bytes_are_those_of_new_tensors_that_are_alive():
    x = torch.ones(MIB // 4)

    def forward(x):
        y = x + 1  # 1 MiB
        y.mul_(2).view(2, -1)  # none
        z = y * y  # 2 MiB live
        del y
        return (F.relu(z) + z,)  # relu and sum beside z: 3 MiB

    assert peak_bytes(forward, x) == 3 * MIB
    weight = torch.ones(MIB // 4, requires_grad=True)
    # The graph keeps both factors of the second product: 1 MiB of ours, beside the result.
    assert peak_bytes(lambda x: ((x * weight) * weight,), x) == 2 * MIB


@pytest.mark.parametrize(("memory", "largest"), [(3, 1), (5, 2), (9, 4), (100, 7)])
def test_pieces_are_as_large_as_fits(memory, largest):
    sizes = Sizes()
    wide = model(sizes).requires_grad_(False)
    wide(images())
    sizes.seen.clear()
    with in_pieces(memory):
        wide(images())
    assert sizes.seen[:2] == [1, 2]  # to be counted
    ours = sizes.seen[2:]
    assert sum(ours) == 7
    assert max(ours) == largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_answers_features_and_gradients_are_those_of_the_whole(dtype):
    whole, split = model(nn.GroupNorm(2, 64)), model(nn.GroupNorm(2, 64))
    x = images()
    found = []
    for one, memory in ((whole, None), (split, 9)):
        with network_dtype(dtype), in_pieces(memory):
            features, logits = one.features_and_logits(x)
            with torch.no_grad():
                torch.testing.assert_close(one(x), logits)
        (logits.square().sum() + features.sum()).backward()
        found.append([features, logits, *(p.grad for p in one.parameters())])
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_a_graph_keeps_no_activations_of_its_pieces():
    wide, kept = model(nn.Sigmoid(), nn.Sigmoid(), nn.Sigmoid()), []

    def pack(tensor):
        kept.append(tensor.numel() * 4 if tensor.ndim == 4 else 0)
        return tensor

    n_bytes = []
    for memory in (None, 10):
        with in_pieces(memory):
            wide(images())  # pieces are counted here
            kept.clear()
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                wide(images())
        n_bytes.append(sum(kept))
    assert n_bytes[0] > 7 * 4 * MIB
    assert n_bytes[1] < MIB  # the images


def test_the_parts_of_a_forward_count_as_one():
    heard_of = []
    with in_pieces(3), heard(lambda model, x, logits: heard_of.append((len(x), len(logits)))):
        model().requires_grad_(False)(images())
    assert heard_of == [(7, 7)]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: nn.BatchNorm2d(64).train(), "statistics of the batch"),
        (lambda: nn.BatchNorm2d(64, track_running_stats=False), "statistics of the batch"),
        (lambda: nn.Dropout(0.1).train(), "draws"),
    ],
)
def test_a_model_that_mixes_its_batch_is_refused(layer, words):
    wide, made = model(nn.Identity()), layer()
    wide.module[1] = made
    with (
        in_pieces(100),
        pytest.raises(ValueError, match=rf"memory_mib: .* module.1 of wide .*{words}.*=null"),
    ):
        wide(images())


def test_batch_norm_on_the_source_statistics_and_idle_dropout_may_be_split():
    wide, x = model(nn.BatchNorm2d(64), nn.Dropout(0.5)).requires_grad_(False), images()
    plain = wide(x)
    with in_pieces(5):
        assert torch.allclose(wide(x), plain, atol=1e-6)


def test_too_little_for_one_image_is_refused():
    with (
        in_pieces(1),
        pytest.raises(ValueError, match=r"one image through wide needs \d+ MiB, got 1; type comp"),
    ):
        model()(images())
