"""The contract, the configuration, and what the method does."""

import torch
import yaml
from ctta_my_method.method import MyMethod

from ctta import plugins
from ctta.build import build
from ctta.testing import batches, check_method, tiny_cnn


def test_the_contract_holds() -> None:
    check_method(lambda model: MyMethod(model, ema_decay=0.9))


def test_ctta_finds_the_configuration_and_can_build_it() -> None:
    path = plugins.all_folders()["my_method"] / "method" / "my_method.yaml"
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(build(node, "method", model=tiny_cnn(), seed=0), MyMethod)


def test_what_has_come_often_is_answered_less_often() -> None:
    method = MyMethod(tiny_cnn(), ema_decay=0.5)
    (x,) = batches(1)
    first = method.predict(x)
    method(x)
    often = first.softmax(1).mean(0).argmax()
    assert (method.predict(x).softmax(1)[:, often] < first.softmax(1)[:, often]).all()


def test_nothing_is_learnt_with_a_decay_of_one() -> None:
    method = MyMethod(tiny_cnn(), ema_decay=1.0)
    (x,) = batches(1)
    first = method.predict(x)
    method(x)
    torch.testing.assert_close(method.predict(x), first)
