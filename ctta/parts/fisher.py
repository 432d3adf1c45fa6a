"""How much the source model's answers depend on each parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.enable_grad()
def source_fisher(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Mean over ``batches`` of the squared gradient, name -> tensor of the parameter's shape.

    The gradient is that of the batch-mean cross entropy with the model's own arg-max, as in EATA
    and PSMT: the square of a mean, which depends on the batch size.
    """
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    n_batches = 0
    for x in batches:
        logits = model(x)
        loss = F.cross_entropy(logits, logits.detach().argmax(1))
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.square()
        n_batches += 1
    return {name: value / n_batches for name, value in total.items()}
