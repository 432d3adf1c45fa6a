"""From configuration nodes to objects: what is built, and what each mistake is told."""

import pytest

from ctta.build import build, locate, optimizer_is_used

HERE = __name__


class Part:
    def __init__(self, *, size: int) -> None:
        self.size = size


class Whole:
    def __init__(self, *, rate: float, label: str = "a", part: Part | None = None, seed: int = 0):
        if rate < 0:
            raise ValueError(f"rate: expected at least 0, got {rate}")
        self.rate, self.label, self.part, self.seed = rate, label, part, seed


@pytest.fixture
def whole(monkeypatch):
    import sys
    import types

    module = types.ModuleType("ctta_test_parts")
    module.Whole, module.Part, module.number = Whole, Part, 3
    monkeypatch.setitem(sys.modules, "ctta_test_parts", module)
    return {"_target_": "ctta_test_parts.Whole", "rate": 0.5}


def test_builds_nested_nodes_and_offers_by_name(whole):
    whole["part"] = {"_target_": "ctta_test_parts.Part", "size": 4}
    made = build(whole, "method", seed=7, model=None)
    assert (made.rate, made.part.size, made.seed) == (0.5, 4, 7)


def test_a_value_in_the_node_wins_over_an_offer(whole):
    assert build({**whole, "seed": 1}, "method", seed=7).seed == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rat": 1}, r"method\.rat: unknown key; .* takes rate, label, part, seed"),
        ({"rate": "abc"}, r"method\.rate: expected float, got 'abc'"),
        ({"rate": -1.0}, r"method: rate: expected at least 0"),
        ({"part": {"_target_": "ctta_test_parts.Part"}}, r"method\.part\.size: expected a value"),
        ({"_target_": "ctta_test_parts.Nothing"}, r"method\._target_: cannot import"),
        ({"_target_": "no.such.module"}, r"method\._target_: cannot import"),
        ({"_target_": "ctta_test_parts.number"}, "is neither"),
        ({"_target_": None}, "expected package.module.name"),
    ],
)
def test_mistakes_are_named_with_their_key(whole, change, message):
    with pytest.raises(ValueError, match=message):
        build({**whole, **change}, "method")


def test_locate_returns_the_callable():
    assert locate({"_target_": "collections.OrderedDict"}, "x").__name__ == "OrderedDict"


def test_optimizer_values_without_a_reader_are_refused():
    optimizer = {"name": "adam", "lr": None}
    with pytest.raises(ValueError, match=r"optimizer\.name: this method has no optimizer"):
        optimizer_is_used({"optimizer": optimizer, "method": {"_target_": "a.b"}})
    optimizer_is_used({"optimizer": optimizer, "method": {"inner": {"optimizer": optimizer}}})
    optimizer_is_used({"optimizer": {"name": None}, "method": {"_target_": "a.b"}})
