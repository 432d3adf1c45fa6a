"""A prepared method on its way along the stream, and what that took."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from ctta import kernels
from ctta.data.base import DataSet
from ctta.methods.base import Method
from ctta.models.compiling import compiling
from ctta.models.graphs import replaying
from ctta.models.pieces import in_pieces
from ctta.models.source import network_dtype
from ctta.online.checkpoint import CheckpointError
from ctta.online.costs import flops_per_sample, peak_mib
from ctta.online.loop import clean_error_pct, run_online
from ctta.online.memory import shortage
from ctta.online.observers import Observer
from ctta.online.stopping import StopSignals
from ctta.online.trace import Trace
from ctta.online.window import Window
from ctta.results.exclusive import RunWatch
from ctta.results.outcome import cost_record, forgetting, in_words
from ctta.results.result import CostRecord
from ctta.results.settings import Settings
from ctta.results.unfinished import Unfinished
from ctta.streams.stream import Stream

log = logging.getLogger("ctta")


class Execution:
    """One way along the stream, from its start or from a checkpoint.

    Args:
        method: prepared; it is used up.
        data: the data set, for its clean test images.
        stream: of batches.
        settings: how the method is run.
        batch_size: of the clean images.
        cache: folder where runs that measure time find each other.
    """

    def __init__(
        self,
        method: Method,
        data: DataSet,
        stream: Stream,
        settings: Settings,
        *,
        batch_size: int,
        cache: Path,
    ) -> None:
        self.method, self.data, self.stream, self.settings = method, data, stream, settings
        self.batch_size, self.cache = batch_size, cache

    def run(
        self,
        observers: Sequence[Observer],
        unfinished: Unfinished,
        *,
        go_on: bool,
        stop: StopSignals | None,
    ) -> tuple[Trace, dict[str, float], CostRecord]:
        """The trace, the errors on clean images, and the costs.

        Args:
            observers: of the stream.
            unfinished: where checkpoints go.
            go_on: from the checkpoint, if it can be used.
            stop: looked at after every batch.

        Raises:
            ValueError: the memory cannot suffice.
            RunStoppedError: ``stop`` noted a signal, and the run is saved.
        """
        self.check_memory()
        settings = self.settings
        with kernels.recorded() as kernels_ran:
            with (
                compiling(settings.compile),
                in_pieces(settings.memory_mib),
                replaying(settings.cuda_graph),
            ):
                before = self.clean_error()
                with RunWatch(self.cache) as watch:
                    trace = self.adapt(observers, unfinished, go_on, stop)
                    exclusive = None if unfinished.resumes else watch.exclusive()
                clean = forgetting(before, self.clean_error())
            return trace, clean, self.costs(trace, exclusive, kernels_ran)

    def check_memory(self) -> None:
        """Say that the memory may not suffice for a step; in pieces it does.

        Raises:
            ValueError: it cannot suffice.
        """
        if self.settings.memory_mib is not None:
            return
        device, dtype, window = self.settings.device, self.settings.dtype, self.settings.window
        x = next(iter(self.stream)).x
        shape = torch.Size([len(x) if window == 1 else window, *x.shape[1:]])
        text = shortage(self.method.model, shape, device=device, dtype=dtype)
        if text is not None:
            log.warning("%s", text)

    def clean_error(self) -> float | None:
        """Error in % on the clean test images, through `predict`; None where there are none."""
        clean = self.data.clean_test()
        if clean is None:
            return None
        images, labels = clean
        return clean_error_pct(
            self.method,
            images,
            labels,
            batch_size=self.batch_size,
            device=self.settings.device,
            dtype=self.settings.dtype,
        )

    def adapt(
        self,
        observers: Sequence[Observer],
        unfinished: Unfinished,
        go_on: bool,
        stop: StopSignals | None,
    ) -> Trace:
        """Along the stream, from the checkpoint where that is whole and fits."""
        along = partial(
            run_online,
            self.method,
            self.stream,
            device=self.settings.device,
            dtype=self.settings.dtype,
            observers=[unfinished, *observers],
            window=self.settings.window,
            **self.settings.speed,
            keep_logits=self.settings.keep_logits,
            prefetch=self.settings.prefetch,
            checkpoint=unfinished.folder,
            checkpoint_every=self.settings.checkpoint_every,
            stop=stop,
        )
        if go_on and unfinished.usable():
            try:
                return along(resume_from=unfinished.folder)
            except CheckpointError as error:
                log.warning("%s; the run starts again", error)
        unfinished.begin()
        return along()

    def costs(self, trace: Trace, exclusive: bool | None, kernels_ran: set[str]) -> CostRecord:
        """What the run took; the method is used up."""
        if exclusive is False:
            log.info("time not exclusive: another run was under way on this machine")
        return cost_record(
            trace,
            exclusive=exclusive,
            kernels_ran=kernels_ran,
            peak=peak_mib(self.settings.device),
            flops=self.flops_per_sample(),  # after the peak: it has its own
        )

    def flops_per_sample(self) -> float | None:
        """Of the first batch, which the method takes again from its start; None: it failed.

        A count made beside the run would slow it down, and one on a copy before it needs the
        copy's memory.
        """
        try:
            self.method.reset()
            x = next(iter(self.stream)).x.to(self.settings.device)
            window = self.settings.window
            adapt = self.method if window == 1 else Window(self.method, window)
            with network_dtype(self.settings.dtype):
                return flops_per_sample(adapt, x)
        except Exception as error:  # a finished run is not lost over its count
            log.warning("the FLOPs of a step could not be counted: %s", in_words(error))
            log.debug("", exc_info=True)
            return None
