"""Whether a run fits into the memory, told before it starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook

from ctta.models.pieces import peak_bytes
from ctta.models.source import SourceModel, network_dtype

MIB = 2**20
LAYERS = (nn.Conv2d, nn.Linear)
N_MOMENTS = 2  # of Adam, which most methods use


@dataclass(frozen=True)
class Memory:
    """Of a device, in bytes.

    Attributes:
        most: what a process could have if nothing else ran.
        free: what it can get now.
    """

    most: int
    free: int


@dataclass(frozen=True)
class Need:
    """Bytes of one step.

    Attributes:
        weights: of the network, which are there already.
        layer: input and output of the largest layer: both are there while it is computed.
        likely: all activations of one forward, and gradients and moments of what is trained.
    """

    weights: int
    layer: int
    likely: int


def need(
    model: SourceModel, shape: torch.Size, *, device: torch.device, dtype: torch.dtype
) -> Need | None:
    """What a step on a batch of ``shape`` [B,C,H,W] takes, told without taking it.

    The network is computed on tensors without storage; nothing of the model changes.

    Returns:
        None where the network cannot be computed so.
    """
    layers: list[int] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, LAYERS):
            layers.append(sum(t.nbytes for t in (*inputs, output) if isinstance(t, Tensor)))

    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    hook = register_module_forward_hook(note)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), network_dtype(dtype):
            empty = {
                name: torch.empty_like(value, device=device).requires_grad_(value.requires_grad)
                for name, value in tensors.items()
            }
            x = torch.empty(shape, device=device)
            activations = peak_bytes(lambda batch: functional_call(model, empty, (batch,)), x)
    except Exception:  # a network of any kind: what it does to such tensors is its own
        return None
    finally:
        hook.remove()
    return Need(
        weights=sum(value.nbytes for value in tensors.values()),
        layer=max(layers, default=0),
        likely=activations + (1 + N_MOMENTS) * trained,
    )


def memory(device: torch.device) -> Memory | None:
    """Of ``device``; None where the system does not tell."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return Memory(most=total, free=free + held)
    return memory_of_process(Path("/")) if sys.platform == "linux" else None


def memory_of_process(root: Path) -> Memory | None:
    """Of the machine, or of the control groups that this process is in, whichever is less.

    Args:
        root: under which the system's files lie.
    """
    try:
        machine = in_bytes(root / "proc/meminfo")
        swap, most = machine["SwapTotal"], machine["MemTotal"] + machine["SwapTotal"]
        free = machine["MemAvailable"]
    except (OSError, KeyError):
        return None
    for limit, used in control_groups(root):
        most, free = min(most, limit + swap), min(free, max(limit - used, 0))
    return Memory(most=most, free=free)


def in_bytes(path: Path) -> dict[str, int]:
    """The lines ``name: n kB`` of a file."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}


def control_groups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, without what can be given back, of each group around this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, own in (line.split(":", 2) for line in lines):
        if controllers == "":  # version 2
            base, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        path = PurePosixPath(own.lstrip("/"))
        for group in (path, *path.parents):
            folder = root / base / group
            with suppress(OSError, ValueError, KeyError):  # no limit, or not seen from in here
                limit, used = (int((folder / name).read_text()) for name in names[:2])
                statistics = (folder / "memory.stat").read_text().split()
                kinds = dict(zip(statistics[::2], map(int, statistics[1::2]), strict=True))
                yield limit, used - kinds[names[2]]


def shortage(
    model: SourceModel, shape: torch.Size, *, device: torch.device, dtype: torch.dtype
) -> str | None:
    """Why a run over batches of ``shape`` [B,C,H,W] may end for want of memory, or None.

    Raises:
        ValueError: it cannot but end so.
    """
    needed, there = need(model, shape, device=device, dtype=dtype), memory(device)
    if needed is None or there is None:
        return None
    where = "the device" if device.type == "cuda" else "the machine"
    what = f"a forward of {shape[0]} images"
    certain = needed.weights + needed.layer
    if certain > there.most:
        fits = (there.most - needed.weights) * shape[0] // max(needed.layer, 1)
        remedy = "choose a smaller model=..."
        if fits >= 1:
            remedy = (
                f"type stream.batch_size={fits} or less (another protocol), or "
                "compute.memory_mib=... where the method allows it"
            )
        raise ValueError(
            f"too little memory: {what} needs at least {certain // MIB} MiB, {where} has "
            f"{there.most // MIB} MiB for this process; {remedy}"
        )
    if needed.likely > there.free:
        return (
            f"memory may not suffice: {what} and its gradients take about "
            f"{needed.likely // MIB} MiB, {where} has {there.free // MIB} MiB free; a smaller "
            "stream.batch_size or compute.memory_mib=... takes less"
        )
    return None
