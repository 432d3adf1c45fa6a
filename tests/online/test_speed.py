"""A stream that does not wait: which batches are missed, and who answers them."""

import numpy as np
import pytest
import torch

from ctta.methods.cotta import CoTTA
from ctta.methods.counting import PassCounter
from ctta.methods.norm import Norm
from ctta.methods.source import Source
from ctta.methods.tent import Tent
from ctta.online.loop import run_online
from ctta.online.speed import SpeedLimit
from ctta.streams.stream import CorruptionStream
from ctta.testing import tiny_cnn

ADAM = {"name": "adam", "lr": 0.01}


class Noise:
    """Random images that depend on the domain."""

    name, version, severity, corruptions = "noise", 1, 5, ("fog", "snow")
    identity = {"id": "noise"}  # noqa: RUF012

    def labels(self, corruption, severity):
        return np.arange(28) % 4

    def images(self, corruption, severity, indices):
        generator = torch.Generator().manual_seed(self.corruptions.index(corruption))
        return torch.rand(28, 3, 16, 16, generator=generator)[torch.from_numpy(indices)]


def stream(**changes):
    return CorruptionStream(Noise(), **{"batch_size": 4, **changes})


METHODS = {
    "source": lambda: Source(tiny_cnn()),
    "norm": lambda: Norm(tiny_cnn(), statistics="updated", bn_momentum=0.1),
    "tent": lambda: Tent(tiny_cnn(), optimizer=ADAM),
    "cotta": lambda: CoTTA(
        tiny_cnn(),
        optimizer=ADAM,
        ema_decay=0.9,
        n_views=2,
        unsure_below=0.3,
        restore_prob=0.1,
        symmetric_loss=True,
    ),
}


@pytest.mark.parametrize(
    ("name", "eta", "backward_cost", "misses"),
    [
        ("source", 1.0, 2.0, 0),
        ("norm", 1.0, 2.0, 1),  # one forward to update the statistics, one to answer
        ("tent", 1.0, 2.0, 2),  # one forward, one backward: 3 forwards' time
        ("tent", 0.7, 2.0, 2),
        ("tent", 0.6, 2.0, 1),
        ("tent", 0.3, 2.0, 0),
        ("tent", 1.0, 0.0, 0),
        ("tent", 1.0, 1.5, 2),
        ("cotta", 1.0, 2.0, None),
    ],
)
def test_a_method_misses_batches_while_it_is_busy(name, eta, backward_cost, misses):
    trace = run_online(METHODS[name](), stream(), eta=eta, backward_cost=backward_cost)
    forwards, backwards = trace.batches["forwards"], trace.batches["backwards"]
    if misses is None:
        cost = forwards[0] + backward_cost * backwards[0]
        misses = int(np.ceil(cost * eta)) - 1
        assert misses > 2
    expected = np.arange(14) % (misses + 1) == 0
    assert (~trace.batches["missed"] == expected).all()
    assert len(trace) == 56
    assert (trace.batches["adapt_seconds"] > 0).all()


def test_predict_answers_what_is_missed_with_what_was_learned():
    trace = run_online(METHODS["tent"](), stream(), eta=1.0, keep_logits=True)
    method, parts = METHODS["tent"](), []
    for number, batch in enumerate(stream()):
        parts.append(method(batch.x) if number % 3 == 0 else method.predict(batch.x).detach())
    assert np.array_equal(trace.logits, torch.cat(parts).numpy())
    waiting = run_online(METHODS["tent"](), stream(), keep_logits=True)
    assert np.array_equal(trace.logits[:4], waiting.logits[:4])
    assert not np.array_equal(trace.logits, waiting.logits)


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("every", [3, 4, 5])
def test_a_resumed_run_gives_the_same_bits(name, every, tmp_path):
    path = tmp_path / "checkpoint"
    whole = run_online(METHODS[name](), stream(), eta=0.9, checkpoint=path, checkpoint_every=every)
    resumed = run_online(METHODS[name](), stream(), eta=0.9, resume_from=path)
    assert resumed.sha256() == whole.sha256()
    assert resumed.batches["missed"].tolist() == whole.batches["missed"].tolist()


def test_a_reset_owes_nothing():
    trace = run_online(METHODS["tent"](), stream(setting="reset_each"), eta=1.0)
    segment = [False, True, True] * 2 + [False]
    assert trace.batches["missed"].tolist() == 2 * segment


def test_measured_costs_are_seconds_over_those_of_a_plain_forward(monkeypatch):
    limit = SpeedLimit(METHODS["source"](), 0.5, step_cost="measured", backward_cost=2)
    monkeypatch.setattr(limit, "plain_seconds", lambda x: 0.25)
    x = torch.rand(4, 3, 16, 16)
    limit(x)
    limit.charge(x, PassCounter(), seconds=1.3)
    assert limit.n_to_miss == 2  # 1.3 / 0.25 = 5.2 forwards, 2.6 batches at half the speed
    limit(x)
    limit.charge(x, PassCounter(), seconds=9.0)
    assert limit.n_to_miss == 1


def test_the_plain_forward_is_the_source_models_and_changes_nothing():
    method = METHODS["tent"]()
    limit = SpeedLimit(method, 1.0, step_cost="measured", backward_cost=2)
    before = method.state_dict()
    assert limit.plain_seconds(torch.rand(4, 3, 16, 16)) > 0
    after = method.state_dict()
    assert all(
        torch.equal(v, after[k]) if torch.is_tensor(v) else v == after[k] for k, v in before.items()
    )
    trace = run_online(method, stream(), eta=1.0, step_cost="measured")
    assert len(trace) == 56
    assert not trace.batches["missed"][0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eta": 0.0}, "eta: expected above 0 up to 1, got 0.0"),
        ({"eta": 1.5}, "eta: expected above 0 up to 1, got 1.5"),
        ({"eta": 1.0, "step_cost": "guessed"}, "step_cost: expected counted or measured, got 'gu"),
        ({"eta": 1.0, "backward_cost": -1.0}, "backward_cost: expected at least 0, got -1.0"),
        ({"eta": 1.0, "window": 4}, "eta: expected none with a window of 4"),
    ],
)
def test_mistakes_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        run_online(METHODS["source"](), stream(), **changes)


def test_two_views_in_one_forward_cost_two():
    limit = SpeedLimit(METHODS["source"](), 1.0, step_cost="counted", backward_cost=2)
    x, model = torch.rand(4, 3, 16, 16), tiny_cnn()
    with PassCounter() as passes:
        model(torch.cat([x, x]))
    limit.charge(x, passes, seconds=0.0)
    assert limit.n_to_miss == 1
