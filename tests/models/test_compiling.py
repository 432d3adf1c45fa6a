"""Compiled forwards: copies, hooks, what cannot be compiled."""

import copy

import pytest
import torch
from torch import nn

from ctta.models import compiling as module
from ctta.models.compiling import compiling
from ctta.models.source import WrappedModel
from ctta.testing import batches, tiny_cnn, tiny_vit


@pytest.fixture
def captured(monkeypatch):
    """Compile with a backend that only collects the graphs; returns them."""
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    made = torch.compile(module.plain, backend=backend)
    monkeypatch.setattr(module, "compiled", lambda: made)
    return graphs


@pytest.mark.parametrize("tiny", [tiny_cnn, tiny_vit])
def test_compiled_code_is_used_and_answers_the_same(tiny, captured):
    model, (x,) = tiny(), batches(1)
    plain = model(x)
    assert not captured
    with compiling():
        assert torch.equal(model(x), plain)
    assert len(captured) == 1
    model(x)
    with compiling(), compiling(False):
        model(x)
    assert len(captured) == 1


def test_a_copy_follows_its_own_weights(captured):
    model, (x,) = tiny_vit(), batches(1)
    with compiling(), torch.no_grad():
        before = model(x)
        twin = copy.deepcopy(model)
        twin.head.bias.add_(1)
        assert torch.allclose(twin(x), before + 1)
        assert torch.equal(model(x), before)
        model.head.bias.add_(2)  # in place, as methods do
        assert torch.allclose(model(x), before + 2)


def test_features_are_handed_out_all_the_same(captured):
    model, (x,) = tiny_cnn(), batches(1)
    features, logits = model.features_and_logits(x)
    with compiling():
        model(x)
        again = model.features_and_logits(x)
    assert torch.equal(again[0], features)
    assert torch.equal(again[1], logits)


def test_what_cannot_be_compiled_is_named(monkeypatch):
    def backend(_graph, _inputs):
        raise RuntimeError("no compiler\nand more")

    torch._dynamo.reset()
    made = torch.compile(module.plain, backend=backend)
    monkeypatch.setattr(module, "compiled", lambda: made)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    model = WrappedModel(network, name="flat", image_shape=(3, 2, 2))
    with (
        compiling(),
        pytest.raises(
            ValueError,
            match=r"compute\.compile: flat .*no compiler.*compute\.compile=false$",
        ),
    ):
        model(torch.rand(1, 3, 2, 2))


def test_a_python_without_a_compiler_is_named(monkeypatch):
    def refuse(_function):
        raise RuntimeError("not supported on Python 3.99")

    monkeypatch.setattr(torch, "compile", refuse)
    module.compiled.cache_clear()
    with compiling(), pytest.raises(ValueError, match=r"compute\.compile: .*3\.99; type compute"):
        tiny_cnn()(batches(1)[0])


@pytest.mark.slow
def test_the_default_compiler_gives_near_equal_answers_and_gradients():
    torch._dynamo.reset()
    model, (x,) = tiny_vit(), batches(1)
    gradients = []
    for wanted in (False, True):
        with compiling(wanted):
            logits = model(x)
        gradients.append((logits, *torch.autograd.grad(logits.square().sum(), model.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
