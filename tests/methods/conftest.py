"""A small model, random batches and one of each method."""

import pytest
import torch

from ctta.methods.cotta import CoTTA
from ctta.methods.frozen import Frozen
from ctta.methods.norm import Norm
from ctta.methods.source import Source
from ctta.methods.tent import Tent
from ctta.models.digits import TinyCNN

ADAM = {"name": "adam", "lr": 1e-3, "betas": [0.9, 0.999], "momentum": None}
COTTA = {
    "optimizer": ADAM,
    "ema_decay": 0.9,
    "n_views": 2,
    "unsure_below": 1.1,
    "restore_prob": 0.1,
    "symmetric_loss": False,
}
MAKERS = {
    "source": Source,
    "norm_batch": lambda m, **k: Norm(m, statistics="batch", bn_momentum=0.1, **k),
    "norm_mixed": lambda m, **k: Norm(m, statistics="mixed", batch_share=0.1, **k),
    "norm_updated": lambda m, **k: Norm(m, statistics="updated", bn_momentum=0.1, **k),
    "tent": lambda m, **k: Tent(m, optimizer=ADAM, **k),
    "cotta": lambda m, **k: CoTTA(m, **{**COTTA, **k}),
    "frozen": lambda m, **k: Frozen(Tent(m, optimizer=ADAM, **k), after=2),
}


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(3)
    made = TinyCNN(channels=(4, 6, 8), side=8)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made


@pytest.fixture
def batches():
    return torch.rand(4, 6, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture
def makers():
    return MAKERS


@pytest.fixture
def cotta_arguments():
    return COTTA
