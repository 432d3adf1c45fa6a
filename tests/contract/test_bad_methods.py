"""Each line of the contract can fail, alone."""

import re
import sys
from pathlib import Path

import pytest
import torch

from ctta.methods.base import Method
from ctta.testing import LINES, ContractError, broken_lines, check_method, prepared
from ctta.testing.contract import read

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "bad"))
from methods import BAD, Plain, ResetReplays


def test_every_line_has_its_breaker():
    assert list(BAD) == list(LINES)


def test_the_plain_one_keeps_the_contract():
    check_method(Plain)


QUICK = [name for name, line in LINES.items() if not line.long]


@pytest.mark.parametrize("line", QUICK)
def test_that_line_and_no_other(line):
    assert list(broken_lines(BAD[line])) == [line]


def test_the_first_line_that_does_not_hold_is_raised():
    with pytest.raises(ContractError, match="finite: expected that logits are finite") as caught:
        check_method(BAD["finite"])
    assert caught.value.line == "finite"


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_that_line_and_no_other_of_the_long_ones(line):
    assert list(broken_lines(BAD[line], long=True)) == [line]


def test_a_tensor_made_on_the_cpu_is_noticed_without_a_second_device():
    found = read("other_device", LINES["other_device"], prepared(BAD["other_device"])).found
    assert "aten::add met a tensor of the model's device and one of the CPU" in found


class Numbers(Plain):
    """Makes tensors of numbers in several ways, all of them where the images are."""

    def adapt(self, x):
        logits = super().adapt(x)
        one = torch.tensor([1.0], device=x.device) + x.new_tensor([1.0])
        two = torch.as_tensor(logits.mean(0).tolist(), device=x.device)
        return logits + (one * two.clone().copy_(two.cpu())).to(logits)


class AsArray(Plain):
    """Asks for an array of a tensor that may be elsewhere."""

    def adapt(self, x):
        return super().adapt(x) + float(x.numpy().mean())


class DrawnThere(Plain):
    """Draws on the images' device with a generator of the CPU."""

    def adapt(self, x):
        noise = torch.rand(len(x), 1, device=x.device, generator=self.generator)
        return super().adapt(x) + noise.to(x)


@pytest.mark.parametrize(
    ("method", "words"), [(Numbers, None), (AsArray, "numpy"), (DrawnThere, "generator of the CPU")]
)
def test_the_pretended_device_refuses_what_a_real_one_does(method, words):
    found = read("other_device", LINES["other_device"], prepared(method)).found
    assert found is None if words is None else words in found


class Stops(Plain):
    """Fails for a reason of its own."""

    def adapt(self, x):
        raise KeyError("rate")


def test_a_method_that_fails_is_reported_line_by_line():
    found = broken_lines(Stops)
    assert len(found) > 10
    assert found["shapes"] == "over tiny-cnn, it stopped with KeyError: 'rate'"


KEPT = []


class KeepsGraphs(Plain):
    """Sums losses that it never lets go of, outside of its state."""

    not_state = Method.not_state | {"total", "weight"}

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.weight = torch.ones((), requires_grad=True)
        self.total = torch.zeros(())

    def learn(self, x):
        super().learn(x)
        with torch.enable_grad():
            self.total = self.total + self.weight * x.mean()


class KeepsTensors(Plain):
    """Keeps a tensor of every batch in a list of the module."""

    def learn(self, x):
        super().learn(x)
        KEPT.append(x.mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "what"),
    [
        (KeepsGraphs, "graphs"),
        (KeepsTensors, "objects|tensors"),
        (BAD["bounded_memory"], "objects"),
    ],
)
def test_what_grows_is_named(method, what):
    found = read("bounded_memory", LINES["bounded_memory"], prepared(method)).found
    assert re.search(f"({what}) grew by", found)


class Survivor(Plain):
    """The mean officially survives a reset; a full one puts it back."""

    survives_reset = ("mean",)


class BadSurvivor(ResetReplays):
    """The mean survives a full reset as well, whatever the class says."""

    survives_reset = ("generator",)


def test_a_reset_is_replayed_in_full_where_something_survives_the_official_one():
    check_method(Survivor)
    assert list(broken_lines(BadSurvivor)) == ["reset_replays"]
