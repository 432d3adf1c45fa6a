"""What every method gets from the base class, checked on each of them."""

import copy
import json

import pytest
import torch
from torch import nn

from ctta.methods.base import Method
from ctta.methods.state import load_state, read_state, save_state


def run(method, batches):
    return torch.stack([method(x) for x in batches])


def same(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        equal = torch.equal(value, b[key]) if torch.is_tensor(value) else value == b[key]
        assert equal, key


def test_reset_replays_bit_for_bit(make, model, batches):
    method = make(model)
    first = run(method, batches)
    method.reset()
    assert torch.equal(run(method, batches), first)


def test_state_saved_in_the_middle_gives_the_same_future(make, model, batches):
    method, other = make(model), make(model)
    run(method, batches[:2])
    other.load_state_dict(method.state_dict())
    assert torch.equal(run(other, batches[2:]), run(method, batches[2:]))
    same(other.state_dict(), method.state_dict())


def test_state_is_flat_tensors_and_json(make, model):
    for path, value in make(model).state_dict().items():
        assert isinstance(path, str)
        if not torch.is_tensor(value):
            json.dumps(value)


def test_deep_copy_is_independent_and_alike(make, model, batches):
    method = make(model)
    method(batches[0])
    twin, before = copy.deepcopy(method), method.state_dict()
    theirs = run(twin, batches[1:])
    same(method.state_dict(), before)
    assert torch.equal(run(method, batches[1:]), theirs)


def test_predict_changes_nothing_and_no_global_draw(make, model, batches):
    method = make(model)
    method(batches[0])
    before, generator = method.state_dict(), torch.get_rng_state()
    modes = [m.training for m in method.model.modules()]
    method.predict(batches[1])
    run(method, batches[:1])
    assert torch.equal(torch.get_rng_state(), generator)
    twin = make(model)
    twin.load_state_dict(before)
    twin.predict(batches[1])
    same(twin.state_dict(), before)
    assert [m.training for m in method.model.modules()] == modes


def test_callers_model_and_batch_stay(make, model, batches):
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    kept = batches.clone()
    run(make(model), batches)
    same(dict(model.state_dict()), weights)
    assert torch.equal(batches, kept)


def test_float64_and_a_batch_of_one(make, model, batches):
    logits = make(model.double())(batches[0, :1].double())
    assert logits.shape == (1, 10)
    assert logits.dtype == torch.float64
    assert logits.isfinite().all()
    assert not logits.requires_grad


def test_episodic_gives_every_batch_the_fresh_answer(makers, model, batches):
    for name in ("tent", "cotta", "norm_updated"):
        answers = run(makers[name](model, episodic=True), batches[[0, 0]])
        assert torch.equal(answers[0], answers[1])


def test_steps_are_repeated_and_the_last_is_returned(makers, model, batches):
    once, twice = makers["tent"](model), makers["tent"](model, steps=2)
    once(batches[0])
    assert torch.equal(once(batches[0]), twice(batches[0]))


def test_passes_are_counted(makers, model, batches):
    expected = {"source": (1, 0), "norm_updated": (2, 0), "tent": (1, 1), "cotta": (4, 1)}
    for name, counts in expected.items():
        method = makers[name](model)
        method(batches[0])
        assert (method.n_forwards, method.n_backwards) == counts, name
        method.predict(batches[0])
        assert method.n_forwards == counts[0]


def test_unsure_gate_saves_the_views(makers, model, batches):
    method = makers["cotta"](model, unsure_below=0.0)
    method(batches[0])
    assert method.n_forwards == 3


def test_arguments_are_recorded(makers, model):
    arguments = makers["tent"](model, steps=2).arguments
    assert arguments["steps"] == 2
    assert arguments["optimizer"]["lr"] == 1e-3
    assert arguments["reset"] == "official"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: expected an integer of at least 1, got 0"),
        ({"steps": 1.5}, "steps"),
        ({"episodic": "yes"}, "episodic: expected true or false"),
        ({"reset": "half"}, "reset: expected one of official, full"),
    ],
)
def test_wrong_shared_arguments(makers, model, change, message):
    with pytest.raises(ValueError, match=message):
        makers["tent"](model, **change)


class Plain(Method):
    paper, version = "none", 1

    def adapt(self, x):
        return self.model(x)

    def predict(self, x):
        return self.model(x)


class Tally(Plain):
    survives_reset = ("kept",)

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.kept, self.lost, self.bank = 0, 0, []

    def install(self, artefact, source):
        self.lost = 10

    def adapt(self, x):
        self.kept, self.lost = self.kept + 1, self.lost + 1
        self.bank.append(x)
        return super().adapt(x)


def test_reset_goes_back_to_after_prepare_and_spares_what_survives(model, batches):
    for kind, kept in (("official", 4), ("full", 0)):
        method = Tally(model, reset=kind)
        method.prepare(None)
        run(method, batches)
        assert len(method.bank) == 4
        method.reset()
        assert (method.kept, method.lost, method.bank) == (kept, 10, [])


def test_what_cannot_be_saved_is_named(model):
    method = Plain(model)
    method.helper = {"deep": [object()]}
    with pytest.raises(ValueError, match=r"'helper/deep/0' is a object, which cannot be saved"):
        method.state_dict()


def test_keys_that_cannot_be_saved_are_named(model):
    method = Plain(model)
    method.helper = {1.5: 0}
    with pytest.raises(ValueError, match="'helper' has keys that cannot be saved: use strings or"):
        method.state_dict()


def test_a_tuple_is_loaded_in_place_where_there_is_a_place():
    kept = torch.zeros(2)
    loaded = load_state((kept, 1), (torch.ones(2), 3, "new"))
    assert loaded[0] is kept
    assert (kept.tolist(), loaded[1:]) == ([1.0, 1.0], (3, "new"))


def test_a_hook_over_the_method_is_refused(model):
    method = Plain(model)
    method.model.fc.register_forward_hook(lambda *_: method.steps)
    with pytest.raises(ValueError, match=r"a hook on 'model.fc' closes over the method"):
        method.state_dict()


def test_state_of_another_method_is_refused(makers, model):
    with pytest.raises(ValueError, match=r"differs in: .*optimizer"):
        makers["source"](model).load_state_dict(makers["tent"](model).state_dict())


def test_observers_are_not_copied_and_see_detached_values(makers, model, batches):
    seen, method = {}, makers["cotta"](model)
    method.observers.append(lambda name, value: seen.setdefault(name, value))
    assert copy.deepcopy(method).observers == []
    method(batches[0])
    assert set(seen) == {"anchor_conf", "student_logits", "loss"}
    assert not any(value.requires_grad for value in seen.values())


def test_state_round_trip_keeps_kinds_and_aliases():
    shared = nn.Linear(2, 2)
    value = {"a": (1, [2.5, None]), 3: torch.arange(3), "m": shared, "g": torch.Generator()}
    flat = {}
    save_state(value, "v", flat)
    loaded = load_state({"m": shared, "g": torch.Generator()}, read_state(flat, "v"))
    assert loaded["m"] is shared
    assert loaded["a"] == (1, [2.5, None])
    assert torch.equal(loaded[3], value[3])
    with pytest.raises(ValueError, match="lacks 'w'"):
        read_state(flat, "w")
