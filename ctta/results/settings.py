"""How a configuration says that a method is run, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ctta.build import Config
from ctta.results.values import (
    DTYPES,
    checkpoint_interval,
    chosen_device,
    cuda_graph,
    known,
    speed,
    true_or_false,
    whole_number,
)


@dataclass(frozen=True)
class Settings:
    """The keys of ``online``, ``trace``, ``compute`` and ``guard``.

    Attributes:
        window: batches of one sample that are answered together.
        speed: how fast the stream is, as arguments of `ctta.online.loop.run_online`.
        checkpoint_every: as there.
        keep_logits: in the trace.
        threads: of the processor.
        device: where model and batches are.
        dtype: of the network.
        reference_kernels: no other form of a kernel is used.
        channels_last: the network's memory format.
        compile: the network is compiled.
        cuda_graph: the network's launches are replayed.
        prefetch: batches that are made ahead.
        memory_mib: of the network at once, else it computes in pieces; None: no bound.
        stops: a run whose method collapsed stops.
    """

    window: int
    speed: Mapping[str, Any]
    checkpoint_every: int | str | None
    keep_logits: bool
    threads: int
    device: torch.device
    dtype: torch.dtype
    reference_kernels: bool
    channels_last: bool
    compile: bool
    cuda_graph: bool
    prefetch: int
    memory_mib: int | None
    stops: bool

    @classmethod
    def of(cls, config: Config) -> Settings:
        """Of a whole configuration.

        Raises:
            ValueError: a value that does not fit, named by its key.
        """
        online, compute = config["online"], config["compute"]
        guard = config.get("guard", {"on_collapse": "warn"})  # older records do not have it
        memory_mib = compute["memory_mib"]
        if memory_mib is not None:
            whole_number(memory_mib, "compute.memory_mib", at_least=1)
        device = chosen_device(compute["device"])
        kernel_forms = known(compute["kernels"], "compute.kernels", ("auto", "reference"))
        return cls(
            window=whole_number(online["window"], "online.window", at_least=1),
            speed=speed(online),
            checkpoint_every=checkpoint_interval(online),
            keep_logits=true_or_false(config["trace"]["logits"], "trace.logits"),
            threads=whole_number(compute["threads"], "compute.threads", at_least=1),
            device=device,
            dtype=DTYPES[known(compute["dtype"], "compute.dtype", DTYPES)],
            reference_kernels=kernel_forms == "reference",
            channels_last=true_or_false(compute["channels_last"], "compute.channels_last"),
            compile=true_or_false(compute["compile"], "compute.compile"),
            cuda_graph=cuda_graph(compute, device),
            prefetch=whole_number(compute["prefetch"], "compute.prefetch", at_least=0),
            memory_mib=memory_mib,
            stops=known(guard["on_collapse"], "guard.on_collapse", ("warn", "stop")) == "stop",
        )
