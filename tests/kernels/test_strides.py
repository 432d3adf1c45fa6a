"""Channels-last tensors: the fast form, the bits and the masks of contiguous ones."""

import pytest
import torch

from ctta import kernels
from ctta.kernels.draws import Draw

SHAPES = [(6, 5, 3, 3), (70,), (40, 30, 3, 3), (8, 1, 3, 3), (4, 9, 1, 1), (12, 7)]


def tensors(seed, *, last):
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator) for shape in SHAPES]
    return [t.to(memory_format=torch.channels_last) if last and t.ndim == 4 else t for t in made]


def gradients(*, last):
    return [None if i == 3 else g for i, g in enumerate(tensors(3, last=last))]


def masks(*, last):
    return [t > 0 for t in tensors(4, last=last)]


THRESHOLD = torch.tensor(0.3)
CALLS = {
    "ema": lambda t, s, **k: kernels.ema_(t, s, 0.9),
    "restore, sparse": lambda t, s, **k: kernels.restore_(t, s, Draw(0.1, 1, 2)),
    "restore, dense": lambda t, s, **k: kernels.restore_(t, s, Draw(0.5, 1, 2)),
    "restore where": lambda t, s, **k: kernels.restore_where_(t, s, masks(**k)),
    "ema and restore": lambda t, s, **k: kernels.ema_restore_(
        t, s, tensors(2, **k), 0.9, Draw(0.1, 1, 2)
    ),
    "quantile": lambda t, s, **k: kernels.squared_quantile(gradients(**k), t, 0.3),
    "fisher": lambda t, s, **k: kernels.fisher_restore_(
        t, s, tensors(2, **k), gradients(**k), THRESHOLD, 0.9
    ),
    "fisher twice": lambda t, s, **k: kernels.fisher_restore_(
        t, s, tensors(2, **k), gradients(**k), THRESHOLD, 0.9, twice=True
    ),
    "masked ema": lambda t, s, **k: kernels.masked_ema_(t, s, gradients(**k), THRESHOLD, 0.9),
    "prior": lambda t, s, **k: kernels.quadratic_prior_(
        t, s, tensors(2, **k), tensors(5, **k), 0.1
    ),
}


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_layout_changes_no_bit_and_no_form(call, reference):
    found = []
    for last in (False, True):
        one, other = tensors(0, last=last), tensors(1, last=last)
        strides = [t.stride() for t in (*one, *other)]
        with kernels.use_reference(reference), kernels.recorded() as ran:
            returned = call(one, other, last=last)
        assert ran == {"reference" if reference else "cpu"}
        assert [t.stride() for t in (*one, *other)] == strides
        found.append((*one, *other, returned))
    for plain, strided in zip(*found, strict=True):
        if plain is not None and plain.dtype == torch.float64:  # the prior: summed as it lies
            torch.testing.assert_close(strided, plain, rtol=1e-12, atol=0)
        else:
            assert plain is strided is None or torch.equal(plain, strided)


def test_unlike_layouts_and_gaps_take_the_plain_form():
    one, other = tensors(0, last=True), tensors(1, last=False)
    expected = [0.9 * t + (1 - 0.9) * s for t, s in zip(one, other, strict=True)]
    with kernels.recorded() as ran:
        kernels.ema_(one, other, 0.9)
    assert ran == {"reference"}
    for mine, right in zip(one, expected, strict=True):
        assert torch.equal(mine, right)
    wide = torch.zeros(4, 6)
    with kernels.recorded() as ran:
        kernels.ema_([wide[:, ::2]], [torch.ones(4, 6)[:, ::2]], 0.5)
    assert ran == {"reference"}
    assert wide.sum() == 6


def test_restoration_raises_the_version_of_a_strided_tensor():
    (weight,) = (t for t in tensors(0, last=True) if t.shape == (6, 5, 3, 3))
    before = weight._version
    kernels.restore_([weight], [torch.zeros_like(weight)], Draw(0.5, 1, 2))
    assert weight._version > before
