"""An optimizer from its configuration node."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ctta.parts.arguments import flag, fraction, number

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
NUMBERS = ("lr", "momentum", "dampening", "weight_decay", "eps")
FLAGS = ("nesterov", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused")


def make_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], node: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Build the optimizer that ``node`` describes over ``parameters``.

    Args:
        parameters: what it trains, or groups of them with values of their own.
        node: ``name`` and the optimizer's own keys; a null value is not passed.

    Raises:
        ValueError: an unknown name, a key that the optimizer does not take, a value out of range.
    """
    values = {key: value for key, value in node.items() if value is not None}
    name = values.pop("name", None)
    if name not in OPTIMIZERS:
        raise ValueError(
            f"optimizer.name: expected one of {', '.join(OPTIMIZERS)}, got {name!r}; "
            "type optimizer.name=adam optimizer.lr=0.001"
        )
    takes = [k for k in inspect.signature(OPTIMIZERS[name]).parameters if k != "params"]
    for key, value in list(values.items()):
        if key not in takes:
            raise ValueError(f"optimizer.{key}: {name} does not take it; set optimizer.{key}=null")
        if key in NUMBERS:
            values[key] = number(f"optimizer.{key}", value, low=0)
        elif key in FLAGS:
            flag(f"optimizer.{key}", value)
    if "lr" not in values:
        raise ValueError(
            "optimizer.lr: expected a learning rate, got none; type optimizer.lr=0.001"
        )
    if "betas" in values:
        values["betas"] = two_fractions("optimizer.betas", values["betas"])
    try:
        return OPTIMIZERS[name](parameters, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer: {error}") from error


def rising(optimizer: torch.optim.Optimizer, n_steps: int) -> Iterator[int]:
    """Steps 1 to ``n_steps``, the learning rate at step / n_steps of its value; then at its value.

    Args:
        optimizer: with one learning rate for all its groups.
        n_steps: of the rise; 0: none.
    """
    groups = optimizer.param_groups
    rate = groups[0]["lr"]
    for step in range(1, n_steps + 1):
        for group in groups:
            group["lr"] = rate * step / n_steps
        yield step
    for group in groups:
        group["lr"] = rate


def two_fractions(name: str, value: Any) -> tuple[float, float]:
    """``value`` as a pair of numbers in [0, 1]."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{name}: expected two numbers, as [0.9, 0.999], got {value!r}")
    return fraction(name, value[0]), fraction(name, value[1])
