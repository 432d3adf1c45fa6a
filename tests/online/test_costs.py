"""FLOPs of a step against a count by hand."""

import torch

from ctta.methods.source import Source
from ctta.methods.tent import Tent
from ctta.online.costs import flops_per_sample
from ctta.testing import batches, tiny_vit

# Images 16 x 16 in patches of 8, width 16, 2 blocks, 5 classes: 4 patches and the class token.
N, D = 5, 16
PATCHES = 2 * 4 * D * 3 * 8 * 8
LINEAR = 2 * N * D * (3 * D + D + 8 * D)  # of a block: qkv, projection, MLP
ATTENTION = 2 * 2 * N * N * D
HEAD = 2 * D * 5
FORWARD = PATCHES + 2 * (LINEAR + ATTENTION) + HEAD


def test_a_forward_is_counted_with_its_attention():
    (x,) = batches(1)
    assert flops_per_sample(Source(tiny_vit()), x) == FORWARD


def test_a_backward_counts_and_the_global_generator_is_given_back():
    (x,) = batches(1)
    method = Tent(tiny_vit(), optimizer={"name": "adam", "lr": 0.01})
    torch.manual_seed(0)
    before = torch.get_rng_state()
    # Gradients of activations down to the first norm, in attention of both factors.
    backward = HEAD + 2 * (LINEAR + 2 * ATTENTION)
    assert flops_per_sample(method, x) == FORWARD + backward
    assert torch.equal(torch.get_rng_state(), before)
