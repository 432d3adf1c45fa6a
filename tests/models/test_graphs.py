"""Which forwards would be replayed as CUDA graphs, and what is refused; without a device."""

import copy

import pytest
import torch

from ctta.models import graphs as module
from ctta.models.graphs import replaying
from ctta.models.source import network_dtype
from ctta.testing import batches, tiny_cnn, tiny_vit


@pytest.fixture
def captures(monkeypatch):
    """Capture as a device would: the forward runs once more at each replay; counts captures."""
    made = []

    def capture(forward, x):
        given = x.clone()
        made.append(x.shape)

        def replay(x):
            given.copy_(x)
            return tuple(part.clone() for part in forward(given))

        return replay

    monkeypatch.setattr(module, "capture", capture)
    return made


@pytest.mark.parametrize("tiny", [tiny_cnn, tiny_vit])
def test_the_second_forward_of_a_kind_is_captured(tiny, captures):
    model, (x, y) = tiny().eval(), batches(2)
    with torch.no_grad():
        plain = [model(x), model(y)]
        with replaying():
            first, second, third = model(x), model(y), model(x)
            assert len(captures) == 1
        with replaying(), replaying(False):
            model(x)
            model(x)
        assert len(captures) == 1
    assert torch.equal(first, plain[0])
    assert torch.equal(second, plain[1])
    assert torch.equal(third, plain[0])


def test_features_are_a_kind_of_their_own(captures):
    model, (x,) = tiny_cnn().eval(), batches(1)
    with torch.no_grad(), replaying():
        model(x)
        expected = model.features_and_logits(x)
        again = model.features_and_logits(x)
    assert len(captures) == 1
    for one, other in zip(again, expected, strict=True):
        assert torch.equal(one, other)


def test_forwards_with_a_gradient_run_as_they_are(captures):
    model, (x,) = tiny_cnn(), batches(1)
    with replaying():
        for _ in range(3):
            model(x).sum().backward()
    assert not captures
    assert model.head.weight.grad is not None


def test_what_decides_the_kernels_makes_another_kind(captures):
    model, (x,) = tiny_cnn().eval(), batches(1)
    changes = [
        lambda: None,
        lambda: model.train(),
        lambda: setattr(next(m for m in model.modules() if hasattr(m, "eps")), "eps", 0.1),
        lambda: setattr(model.head, "weight", torch.nn.Parameter(model.head.weight.clone())),
        lambda: setattr(model, "scales", [0.5, 1.0]),
        lambda: setattr(model, "scales", [0.6, 1.0]),
    ]
    with torch.no_grad(), replaying():
        for n, change in enumerate(changes):
            change()
            model(x)
            assert len(captures) == n
            model(x)
            model(x)
            assert len(captures) == n + 1
        copy.deepcopy(model)(x)
        model(x[:1])
        with network_dtype(torch.bfloat16):
            model(x)
        assert len(captures) == len(changes)
        with torch.no_grad():
            model.head.bias.add_(1)  # in place, as methods do
        model(x)
        assert len(captures) == len(changes)


def test_hooks_are_refused():
    model, (x,) = tiny_cnn(), batches(1)
    model.head.register_forward_hook(lambda *_: None)
    with (
        torch.no_grad(),
        replaying(),
        pytest.raises(ValueError, match=r"fc has hooks\); type compute\.cuda_graph=false$"),
    ):
        model(x)


def test_values_that_change_at_every_batch_are_refused(captures):
    model, (x,) = tiny_cnn().eval(), batches(1)
    with (
        torch.no_grad(),
        replaying(),
        pytest.raises(ValueError, match="change from batch to batch"),
    ):
        for n in range(module.MOST_KINDS + 1):
            model.scale = float(n)
            model(x)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device here")
def test_what_cannot_be_captured_is_named():
    model, (x,) = tiny_cnn().eval(), batches(1)
    with torch.no_grad(), replaying():
        model(x)
        with pytest.raises(ValueError, match=r"compute\.cuda_graph: .*\); type compute\.cuda"):
            model(x)
