"""Gradients of float16 networks: true outside whatever their size, and nothing left behind."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from ctta.methods.tent import Tent
from ctta.models import compiling
from ctta.models.gradient_scale import scaled_inside
from ctta.models.pieces import Pieces, in_pieces
from ctta.models.source import SourceModel, WrappedModel, network_dtype
from ctta.online.loop import NonFiniteOutputError, run_online
from ctta.parts.losses import entropy
from ctta.testing import batches, tiny_cnn, tiny_vit
from ctta.testing.reach import TwoFutures

HALF = torch.float16
SMALL = 2.0**-40  # times a gradient of 1: 1e-12, where float16 ends at 6e-8
MODELS = pytest.mark.parametrize("tiny", [tiny_cnn, tiny_vit])
ROUNDING = 2e-3  # of float16 (5e-4) through a few layers, relative to the largest norm


def loss_of(logits):
    return entropy(logits).mean()


def gradients(model, x, dtype=HALF, factor=1.0, loss=loss_of):
    """Of the parameters, by name."""
    with network_dtype(dtype):
        logits = model(x)
    found = torch.autograd.grad(factor * loss(logits), [*model.parameters()])
    return dict(zip(dict(model.named_parameters()), found, strict=True))


def assert_close(found, expected, share=ROUNDING):
    """Each tensor, relative to the largest norm: what is zero in exact numbers is rounding."""
    largest = max(float(value.norm()) for value in expected.values())
    assert largest > 0
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert float((found[name] - value).norm()) < share * largest, name


@MODELS
@pytest.mark.parametrize("factor", [SMALL, 1.0, 1 / SMALL])
def test_gradients_of_any_size_are_those_of_float32_within_the_rounding(tiny, factor):
    model, (x,) = tiny(), batches(1)
    found = gradients(model, x, factor=factor)
    assert_close(found, gradients(model, x, torch.float32, factor))
    for name, plain in gradients(model, x).items():
        assert torch.equal(found[name], factor * plain), name


@MODELS
def test_a_mean_over_much_loses_no_digits(tiny):
    """Its gradients do not vanish, but lie where float16 has few of its bits."""
    model, (x,) = tiny(), batches(1, size=512)
    name = next(name for name, p in model.named_parameters() if p.ndim == 4)  # the first layer
    found, expected = (gradients(model, x, dtype)[name] for dtype in (HALF, torch.float32))
    assert float((found - expected).norm() / expected.norm()) < 0.01


@MODELS
def test_backward_leaves_true_float32_gradients_beside_other_terms_of_the_loss(tiny):
    model, (x,) = tiny(), batches(1)
    expected = gradients(model, x, torch.float32, factor=SMALL)
    with network_dtype(HALF):
        loss = SMALL * loss_of(model(x))
    for parameter in model.parameters():
        loss = loss + SMALL * (3 * parameter).sum()
    loss.backward()
    assert_close({name: p.grad - 3 * SMALL for name, p in model.named_parameters()}, expected)


@pytest.mark.parametrize("leaf", [True, False])
def test_the_input_has_its_true_gradient(leaf):
    model, (x,) = tiny_vit(), batches(1)
    start = x.requires_grad_()
    given = start if leaf else start.flip(3) * 2
    found = []
    for dtype in (torch.float32, HALF):
        with network_dtype(dtype):
            loss = SMALL * loss_of(model(given)) + SMALL * given.square().sum() * 1e-5
        found.append({"x": torch.autograd.grad(loss, start, retain_graph=True)[0]})
    assert_close(found[1], found[0])


@pytest.mark.parametrize("used", ["features", "logits", "both"])
def test_features_and_logits_share_a_scale(used):
    model, (x,) = tiny_vit(), batches(1)
    found = []
    for dtype in (torch.float32, HALF):
        with network_dtype(dtype):
            features, logits = model.features_and_logits(x)
        loss = SMALL * loss_of(logits) if used != "features" else 0.0
        if used != "logits":
            loss = loss + 100 * SMALL * features.square().mean()
        made = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
        names = dict(model.named_parameters())
        found.append({n: g for n, g in zip(names, made, strict=True) if g is not None})
    assert found[0].keys() == found[1].keys()
    assert_close(found[1], found[0])


def test_gradients_of_the_outputs_are_the_true_ones():
    model, (x,) = tiny_cnn(), batches(1)
    with network_dtype(HALF):
        features, logits = model.features_and_logits(x)
    logits.retain_grad()
    (features.sum() * SMALL + logits.sum()).backward()
    assert torch.equal(logits.grad, torch.ones_like(logits))


def test_each_pass_over_one_graph_has_its_own_scale():
    model, (x,) = tiny_cnn(), batches(1)
    weight = model.conv1.weight
    with network_dtype(HALF):
        logits = model(x)
    first, second = (
        torch.autograd.grad(factor * loss_of(logits), weight, retain_graph=True)[0]
        for factor in (1.0, SMALL)
    )
    assert torch.equal(second, SMALL * first)


def test_a_pass_from_inside_the_network_is_not_scaled():
    class Keeping(nn.ReLU):
        def forward(self, x):
            self.kept = super().forward(x)
            return self.kept

    kept = Keeping()
    network = nn.Sequential(nn.Conv2d(3, 4, 3), kept, nn.Flatten(), nn.Linear(4 * 14 * 14, 5))
    model, (x,) = WrappedModel(network, name="keeping", image_shape=(3, 16, 16)), batches(1)
    weight = network[0].weight
    with network_dtype(HALF):
        logits = model(x)
    (expected,) = torch.autograd.grad(kept.kept.float().sum(), weight, retain_graph=True)
    torch.autograd.grad(loss_of(logits), weight, retain_graph=True)
    (again,) = torch.autograd.grad(kept.kept.float().sum(), weight)
    assert torch.equal(again, expected)


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_loss_over_what_hooks_hand_out_is_right(kind):
    model, (x,) = tiny_cnn(), batches(1)
    seen = []
    getattr(model.bn2, kind)(lambda *tensors: seen.append(tensors[-1]))
    found = []
    for dtype in (torch.float32, HALF):
        seen.clear()
        with network_dtype(dtype):
            logits = model(x)
        inner = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
        loss = loss_of(logits) + inner.float().square().mean()
        found.append({"weight": torch.autograd.grad(loss, model.conv1.weight)[0]})
    assert_close(found[1], found[0])


def test_a_gradient_of_a_gradient():
    model, (x,) = tiny_vit(), batches(1)
    found = []
    for dtype in (torch.float32, HALF):
        with network_dtype(dtype):
            logits = model(x)
        bias = model.head.weight
        (first,) = torch.autograd.grad(loss_of(logits), bias, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), bias)
        found.append({"weight": second})
    assert_close(found[1], found[0])


def wrapped(*layers):
    """A network over images of 16 x 16 with 4 features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        for layer in layers:
            network.append(layer())
    return WrappedModel(network, name="odd", image_shape=(3, 16, 16), head=str(len(network) - 1))


class Tied(nn.Module):
    """One weight, used three times."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.elsewhere = [self.first.weight]

    def forward(self, x):
        return F.linear(self.second(self.first(x)), self.elsewhere[0])


class Again(nn.Linear):
    """Kept out of the graph until its gradient is asked for."""

    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


@pytest.mark.parametrize(
    "layer",
    [
        Tied,
        lambda: Again(4, 5),
        lambda: parametrizations.weight_norm(nn.Linear(4, 5)),
        pytest.param(
            lambda: nn.utils.weight_norm(nn.Linear(4, 5)),
            marks=pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated"),
        ),
        lambda: nn.LSTM(4, 5),
    ],
    ids=["tied", "checkpoint", "weight norm", "weight norm by a hook", "flat weights"],
)
def test_parameters_that_a_layer_reads_in_its_own_way(layer):
    class First(nn.Module):
        def forward(self, x):
            return x[0] if isinstance(x, tuple) else x

    model, (x,) = wrapped(layer, First), batches(1)
    found = gradients(model, x, factor=SMALL)
    assert_close(found, gradients(model, x, torch.float32, SMALL))


def test_a_network_that_hands_on_its_input():
    class Plain(SourceModel):
        head = nn.Identity()

        def forward(self, x):
            return x

    (x,) = batches(1)
    x = x.mean((2, 3)).requires_grad_()
    with network_dtype(HALF):
        loss = SMALL * Plain()(x).sum()
    assert torch.equal(torch.autograd.grad(loss, x)[0], torch.full_like(x, SMALL))


def test_pieces_have_the_same_gradients(monkeypatch):
    monkeypatch.setattr(Pieces, "size", lambda *_: 3)
    model, (x,) = tiny_vit(), batches(1)
    with in_pieces(1):
        found = gradients(model, x, factor=SMALL)
    assert_close(found, gradients(model, x, torch.float32, SMALL))


@MODELS
def test_compiled_networks_have_the_same_gradients(tiny, monkeypatch):
    torch._dynamo.reset()
    compiled = torch.compile(compiling.plain, backend="aot_eager")
    monkeypatch.setattr(compiling, "compiled", lambda: compiled)
    model, (x,) = tiny(), batches(1)
    with compiling.compiling():
        found = gradients(model, x, factor=SMALL)
    assert_close(found, gradients(model, x, torch.float32, SMALL))


def test_nothing_is_left_in_the_model():
    model, (x,) = tiny_cnn(), batches(1)
    before, state = [*model.parameters()], copy.deepcopy(model.state_dict())
    with network_dtype(HALF):
        loss = loss_of(model(x))
        with pytest.raises(RuntimeError):
            model(x[:, :1])
    for layer in model.modules():
        assert not layer._forward_hooks and not layer._backward_hooks
    for parameter, same in zip(model.parameters(), before, strict=True):
        assert parameter is same
        assert parameter.is_leaf and not parameter._backward_hooks
    twin = copy.deepcopy(model)
    loss.backward()
    assert all(p.grad is None for p in twin.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


class Steep(nn.Module):
    """Leaves ``x`` and its gradient at their size; inside, the gradient is 1e5 times as large."""

    def forward(self, x):
        return x.half() * 1e-5 * 1e5


@pytest.mark.parametrize("dtype", [torch.bfloat16, HALF])
def test_an_overflow_ends_the_run_and_names_the_way_out(dtype):
    model = wrapped(lambda: nn.BatchNorm1d(4), Steep, lambda: nn.Linear(4, 5)).eval()
    method = Tent(model, optimizer={"name": "sgd", "lr": 1e-3})
    if dtype == HALF:
        words = r"batch 1: .* NaN or infinity; type compute\.dtype=bfloat16, as float16 ends at"
        with pytest.raises(NonFiniteOutputError, match=words):
            run_online(method, TwoFutures(0), dtype=dtype)
    else:
        run_online(method, TwoFutures(0), dtype=dtype)


def test_without_a_gradient_and_in_other_types_nothing_is_added():
    model, (x,) = tiny_cnn(), batches(1)
    with torch.no_grad():
        made = (model(x),)
        assert scaled_inside(model, x, made) is made
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    with network_dtype(HALF):
        features, logits = model.features_and_logits(x)
    assert logits.requires_grad and not features.requires_grad
    for dtype, name in ((torch.float32, "Addmm"), (torch.bfloat16, "ToCopy")):
        with network_dtype(dtype):
            assert name in model(x).grad_fn.name()
