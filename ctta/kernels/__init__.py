"""In-place updates of parameters at the cost of their memory: one meaning, three forms.

Every function takes sequences of tensors of equal shapes, as a model's parameters come, and is
dispatched once: `use_reference` -> the plain torch form that defines the meaning; CUDA tensors with
CuPy at hand -> the device form; CPU tensors -> the compiled form; anything else (other types,
tensors with gaps or of unlike strides) -> the plain form. All forms give the same bits.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ctta.kernels.draws import RESTORE, Draw
from ctta.kernels.strides import in_order_of_memory

__all__ = [
    "RESTORE",
    "Draw",
    "ema_",
    "ema_restore_",
    "fisher_restore_",
    "fisher_restore_twice_",
    "masked_ema_",
    "quadratic_prior_",
    "recorded",
    "restore_",
    "restore_where_",
    "squared_quantile",
    "use_reference",
]

SUPPORTED = {torch.float32, torch.float64}
NARROW = {torch.bfloat16, torch.float16}
device_of, type_of, on_cpu = map(attrgetter, ("device", "dtype", "is_cpu"))
_settings: dict[str, Any] = {"reference": False, "ran": set()}


@contextmanager
def use_reference(wanted: bool = True) -> Iterator[None]:
    """Inside, every call takes the plain torch form."""
    before = _settings["reference"]
    _settings["reference"] = wanted
    try:
        yield
    finally:
        _settings["reference"] = before


@contextmanager
def recorded() -> Iterator[set[str]]:
    """The forms that ran inside: of ``reference``, ``cpu`` and ``gpu``."""
    before, _settings["ran"] = _settings["ran"], set()
    try:
        yield _settings["ran"]
    finally:
        _settings["ran"] = before


@cache
def has_cupy() -> bool:
    """Whether the device form can be imported."""
    return importlib.util.find_spec("cupy") is not None


def form(
    *groups: Sequence[Any], beside: Sequence[Tensor] = (), narrow_student: bool = False
) -> tuple[ModuleType, Sequence[Any]]:
    """The form for these tensors, and the groups in the order of their memory.

    Args:
        groups: of a tensor a parameter.
        beside: what else is read; without gaps.
        narrow_student: the call takes a narrow student beside a float32 teacher.
    """
    views, gapless = in_order_of_memory(*groups)
    usual = gapless and not _settings["reference"]
    name = fastest([*views, beside], narrow_student) if usual else "reference"
    _settings["ran"].add(name)
    return imported(name), views


@cache
def imported(name: str) -> ModuleType:
    """A form, imported at its first use: the compiled one brings its compiler."""
    return importlib.import_module(f"ctta.kernels.{name}")


def fastest(groups: Sequence[Sequence[Tensor | None]], narrow_student: bool) -> str:
    """The name of the fastest form for tensors without gaps; the teacher's group is first."""
    present = [t for group in groups for t in group if t is not None]
    types = set(map(type_of, present))
    types.discard(torch.bool)
    one_type = len(types) == 1 and types <= SUPPORTED
    if all(map(on_cpu, present)):
        return "cpu" if one_type else "reference"
    if narrow_student and len(types) == 2:
        first = {type_of(t) for t in groups[0] if t is not None}
        one_type = first == {torch.float32} and types - first <= NARROW
    devices = set(map(device_of, present))
    one_device = len(devices) == 1 and devices.pop().type == "cuda"
    return "gpu" if one_type and one_device and has_cupy() else "reference"


def written(tensors: Iterable[Tensor]) -> None:
    """Tell autograd that the tensors have changed: a raw write does not."""
    torch.autograd.graph.increment_version(list(tensors))


def each(decay: float | Sequence[float], tensors: Sequence[Tensor]) -> Sequence[float]:
    """One decay a tensor."""
    return [decay] * len(tensors) if isinstance(decay, (int, float)) else decay


def ema_(
    teacher: Iterable[Tensor], student: Iterable[Tensor], decay: float | Sequence[float]
) -> None:
    """``teacher <- decay teacher + (1 - decay) student``; three roundings, as the official codes.

    Args:
        teacher: moved in place.
        student: of the same shapes.
        decay: one for all, or one a tensor.
    """
    chosen, (mine, theirs) = form([*teacher], [*student], narrow_student=True)
    chosen.ema_(mine, theirs, each(decay, mine))
    written(mine)


def restore_(parameters: Iterable[Tensor], start: Iterable[Tensor], draw: Draw) -> None:
    """The elements that ``draw`` chooses go back to their start."""
    own = list(parameters)
    rows = [p.detach().contiguous() for p in own]  # a draw numbers the elements row by row
    source = [p.contiguous() for p in start]
    form(rows, source)[0].restore_(rows, source, draw)
    for parameter, row in zip(own, rows, strict=True):
        if not parameter.is_contiguous():
            parameter.detach().copy_(row)
    written(own)


def restore_where_(
    parameters: Iterable[Tensor], start: Iterable[Tensor], masks: Iterable[Tensor]
) -> None:
    """The elements whose mask is true go back to their start."""
    chosen, (own, source, where) = form([*parameters], [*start], [*masks])
    chosen.restore_where_(own, source, where)
    written(own)


def ema_restore_(
    teacher: Iterable[Tensor],
    student: Iterable[Tensor],
    start: Iterable[Tensor],
    decay: float | Sequence[float],
    draw: Draw,
) -> None:
    """`ema_` of the teacher, then `restore_` of the student, in one pass."""
    mine, theirs, source = [*teacher], [*student], [*start]
    chosen, (laid, *_) = form(mine, theirs, source, narrow_student=True)
    if laid is not mine:  # in another order than that of a draw's numbers
        ema_(mine, theirs, decay)
        restore_(theirs, source, draw)
        return
    chosen.ema_restore_(mine, theirs, source, each(decay, mine), draw)
    written([*mine, *theirs])


def squared_quantile(
    gradients: Iterable[Tensor | None], like: Iterable[Tensor], level: float
) -> Tensor:
    """The exact quantile of all squared gradients together, linear between neighbours.

    Args:
        gradients: None counts as zeros.
        like: the parameters, for the shapes of those.
        level: in [0, 1].

    Returns:
        A 0-dim tensor on the gradients' device; nothing waits for the device.

    Raises:
        ValueError: another level, or nothing to take it of.
    """
    if not 0 <= level <= 1:
        raise ValueError(f"level: expected from 0 to 1, got {level}")
    chosen, (own, shapes) = form([*gradients], [*like])
    if not any(p.numel() for p in shapes):
        raise ValueError("like: expected parameters with at least one element")
    found: Tensor = chosen.squared_quantile(own, shapes, level)
    return found


def fisher_restore_(
    teacher: Iterable[Tensor],
    student: Iterable[Tensor],
    start: Iterable[Tensor],
    gradients: Iterable[Tensor | None],
    threshold: Tensor,
    decay: float,
    *,
    twice: bool = False,
) -> None:
    """`ema_` of the teacher; the student's elements of small squared gradient go back; one pass.

    Args:
        teacher: moved in place.
        student: put back to ``start`` where the squared gradient is strictly below ``threshold``.
        start: of the student.
        gradients: of the student; None counts as zeros.
        threshold: 0-dim.
        decay: of the teacher.
        twice: the teacher then moves a second time, but takes the student's value where that was
            put back.
    """
    groups = [*teacher], [*student], [*start], [*gradients]
    chosen, (mine, theirs, source, own) = form(*groups, beside=[threshold])
    name = "fisher_restore_twice_" if twice else "fisher_restore_"
    getattr(chosen, name)(mine, theirs, source, own, threshold, decay)
    written([*mine, *theirs])


def masked_ema_(
    teacher: Iterable[Tensor],
    student: Iterable[Tensor],
    gradients: Iterable[Tensor | None],
    threshold: Tensor,
    decay: float,
) -> None:
    """`ema_` of those elements whose squared gradient is strictly below ``threshold``."""
    groups = [*teacher], [*student], [*gradients]
    chosen, (mine, theirs, own) = form(*groups, beside=[threshold])
    chosen.masked_ema_(mine, theirs, own, threshold, decay)
    written(mine)


def quadratic_prior_(
    gradients: Iterable[Tensor],
    parameters: Iterable[Tensor],
    mean: Iterable[Tensor],
    weights: Iterable[Tensor],
    scale: float,
) -> Tensor:
    """Add the gradient of ``scale sum weights (parameter - mean)^2`` to ``gradients``.

    Returns:
        The sum without ``scale``, float64, 0-dim, added up in a fixed order on each kind of device
        and for each layout.
    """
    chosen, (own, at, centre, weight) = form([*gradients], [*parameters], [*mean], [*weights])
    value: Tensor = chosen.quadratic_prior_(own, at, centre, weight, scale)
    written(own)
    return value
