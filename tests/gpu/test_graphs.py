"""Forwards replayed as CUDA graphs answer as they would answer themselves."""

import copy

import pytest
import torch

from ctta.methods.cotta import CoTTA
from ctta.models.graphs import replaying
from ctta.testing import batches, tiny_cnn, tiny_vit

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("tiny", [tiny_cnn, tiny_vit])
def test_replays_follow_weights_batches_and_modes(tiny):
    model = tiny().cuda()
    given = [x.cuda() for x in batches(4)]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for train in (False, True, False):
            model.train(train)
            twin.train(train)
            for x in given:
                expected = twin(x)
                with replaying():
                    for _ in range(3 if not train else 1):
                        found = model(x)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
            for p, q in zip(model.parameters(), twin.parameters(), strict=True):
                p.mul_(1.1)
                q.mul_(1.1)


def test_a_method_gives_the_same_answers():
    optimizer = {"name": "sgd", "lr": 0.01}
    made = [
        CoTTA(tiny_cnn().cuda(), optimizer=optimizer, ema_decay=0.9, n_views=3, unsure_below=2.0,
              restore_prob=0.1, symmetric_loss=True)
        for _ in range(2)
    ]  # fmt: skip
    with replaying():
        replayed = [made[0](x.cuda()) for x in batches(6)]
    plain = [made[1](x.cuda()) for x in batches(6)]
    for one, other in zip(replayed, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
