"""A quadratic pull of the parameters towards a mean."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ctta import kernels


def pull_(
    parameters: Mapping[str, nn.Parameter],
    mean: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    scale: float,
) -> Tensor:
    """Add the gradient of ``scale sum weights (parameter - mean)^2`` to the parameters' own.

    Called between the backward pass of the other losses and the optimizer's step: value and
    gradient come from one pass over the parameters, without a graph.

    Returns:
        The sum, without ``scale``, 0-dim.
    """
    gradients = []
    for p in parameters.values():
        if (gradient := p.grad) is None:
            gradient = p.grad = torch.zeros_like(p)
        gradients.append(gradient)
    return kernels.quadratic_prior_(
        gradients,
        parameters.values(),
        [mean[name] for name in parameters],
        [weights[name] for name in parameters],
        scale,
    )
