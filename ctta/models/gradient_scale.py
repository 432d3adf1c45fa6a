"""Gradients of a float16 network, scaled so that they neither vanish nor overflow inside it.

float16 holds 6e-8 to 65504, and its 11 bits only from 6e-5 on. Without a scale, 95 % of the
gradients of a mean entropy at the outputs of the digits CNN's layers lie below that (200 images),
and the parameters' gradients are off by 1.0 % for this alone; with one, 38 % and 0.1 %. In an
untrained ResNet-50 (224 x 224, the loss as of 50 images) it is 86 % and 3.4 %, and 10 % and 0.3 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.linalg import vector_norm

# Of the norm of the outputs' gradients, scaled: in [2, 4). Measured in the unit of that norm, the
# largest gradient of an activation or a parameter was below 60 in trained networks of the digits,
# 500 in untrained residual networks, 5,300 in one with logits ten times as large: times 4 it is
# below 65504. A larger unit would bring little: see the shares in the module's docstring.
NORM_EXPONENT = 2
LARGEST_EXPONENT = 100  # float32 holds such a factor and its inverse

Gradients = tuple[Tensor | None, ...]


class GradientScale:
    """A power of two by which the gradients inside a network are larger than the true ones.

    Every backward pass finds its own from the gradients that come to the network's outputs, so
    that nothing is kept between steps, and a mean and a sum over the batch have the same bits.

    Attributes:
        factor: of the latest backward pass, a scalar on its device.
        of_pass: that pass's number.
    """

    factor: Tensor
    of_pass = -1

    @torch.no_grad()
    def find(self, gradients: Sequence[Tensor]) -> None:
        """Set ``factor`` for the ``gradients`` of the outputs; what is not finite stays so."""
        norm = vector_norm(torch.stack([vector_norm(gradient) for gradient in gradients]))
        exponent = NORM_EXPONENT - torch.frexp(norm).exponent
        exponent = exponent.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
        self.factor = torch.ldexp(torch.ones_like(norm), exponent)
        self.of_pass = torch._C._current_graph_task_id()

    def taken_off(self, edges: set[int]) -> Callable[[Gradients, Gradients], Gradients]:
        """A hook of a node that divides what goes out on ``edges``.

        A pass that did not come through the outputs, as from a tensor inside, is not scaled.
        """

        def hook(gradients: Gradients, _: Gradients) -> Gradients:
            if self.of_pass != torch._C._current_graph_task_id():
                return gradients
            return tuple(
                gradient / self.factor if edge in edges and gradient is not None else gradient
                for edge, gradient in enumerate(gradients)
            )

        return hook


class Scaled(torch.autograd.Function):
    """Copies of a network's outputs, from which on gradients are scaled."""

    @staticmethod
    def forward(ctx: Any, scale: GradientScale, *outputs: Tensor) -> tuple[Tensor, ...]:
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        return tuple(output.clone() for output in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        ctx.scale.find([gradient for gradient in gradients if gradient is not None])
        return None, *(None if g is None else g * ctx.scale.factor for g in gradients)


def scaled_inside(model: nn.Module, x: Tensor, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """``outputs``, with a `GradientScale` on the gradients between them and parameters and ``x``.

    It is taken off, in float32, on the edges of this forward's graph to what was there before it.
    So gradients outside are the true ones, parameters may stand in other terms of a loss, and no
    module, parameter, copy or optimizer knows of it. A network with hooks is left unscaled: they
    may hand out tensors from inside, whose gradients would enter behind the scale. So would those
    of tensors that a layer keeps for a loss beside the outputs, which nothing here can notice.

    Args:
        model: the network.
        x: its input.
        outputs: what it made of it, in float32.
    """
    recorded = [output for output in outputs if output.requires_grad]
    if not recorded or has_hooks(model):
        return outputs
    scale = GradientScale()
    copies = Scaled.apply(scale, *recorded)
    for node, edges in edges_out(copies[0].grad_fn, x.grad_fn):
        node.register_hook(scale.taken_off(edges))
    scaled = iter(copies)
    return tuple(next(scaled) if output.requires_grad else output for output in outputs)


def has_hooks(model: nn.Module) -> bool:
    """Whether a layer calls hooks with its tensors, but for those of torch that make its weight."""
    return any(
        not type(hook).__module__.startswith("torch.nn.utils.")
        for layer in model.modules()
        for hook in (*layer._forward_hooks.values(), *layer._forward_pre_hooks.values())
    )


def edges_out(start: Node, entry: Node | None) -> Iterator[tuple[Node, set[int]]]:
    """The nodes of a graph that have edges to leaves or to ``entry``, with those edges' numbers.

    Args:
        start: where the graph begins.
        entry: where it ends beside its leaves; what lies behind is another's.
    """
    found, left = {start}, [start]
    while left:
        node, edges = left.pop(), set[int]()
        for edge, (after, _) in enumerate(node.next_functions):
            if after is None:
                continue
            if after is entry or after.name() == "torch::autograd::AccumulateGrad":
                edges.add(edge)
            elif after not in found:
                found.add(after)
                left.append(after)
        if edges:
            yield node, edges
