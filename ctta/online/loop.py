"""The online loop: one pass, predicting as it goes. Labels, ids and domains stop here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctta.data.images import Images
from ctta.methods.base import Method
from ctta.methods.counting import PassCounter
from ctta.models.source import network_dtype
from ctta.online.costs import now
from ctta.online.observers import Observer
from ctta.online.prefetch import prefetched
from ctta.online.resume import ROWS, Saver, load_state
from ctta.online.speed import SpeedLimit, StepCost
from ctta.online.stopping import StopSignals
from ctta.online.trace import Trace, TraceWriter
from ctta.online.window import Window
from ctta.seeding import derive, global_generators, same_bits, set_generators
from ctta.streams.stream import Stream


class NonFiniteOutputError(ValueError):
    """A method returned NaN or infinity."""


def run_online(
    method: Method,
    stream: Stream,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    observers: Sequence[Observer] = (),
    window: int = 1,
    eta: float | None = None,
    step_cost: StepCost = "counted",
    backward_cost: float = 2.0,
    keep_logits: bool = False,
    prefetch: int = 0,
    resume_from: Path | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int | str | None = None,
    stop: StopSignals | None = None,
) -> Trace:
    """Feed ``stream`` to ``method`` once, and return one row per sample.

    Args:
        method: adapts; gets the images and nothing else.
        stream: labelled batches.
        device: where the method's model is, and the images go.
        dtype: of the network's products; below float32 by autocast.
        observers: told of each batch.
        window: above 1, samples come one at a time through a ring of that length.
        eta: speed of a stream that does not wait, see `SpeedLimit`; None: it waits.
        step_cost: see there.
        backward_cost: see there.
        keep_logits: the trace keeps the logits too.
        prefetch: batches that a thread makes ahead; the same batches in the same order.
        resume_from: checkpoint folder of the same method and stream; the trace is that of an
            undisturbed run, bit for bit.
        checkpoint: folder for the rows so far and the state to go on from.
        checkpoint_every: when to save it, see `interval`; None: only when asked to stop.
        stop: noted signals that ask to stop: saved at the next batch, if there is a folder.

    Raises:
        NonFiniteOutputError: names the batch.
        CheckpointError: nothing to go on from; the method is as it was.
        RunStoppedError: asked to stop, and saved.
        ValueError: both a window and a speed, or rows or a state that cannot be written.
    """
    device = torch.device(device)
    if eta is not None and window > 1:
        raise ValueError(f"eta: expected none with a window of {window}; type online.eta=null")
    adapt: Method | Window | SpeedLimit = method
    if window > 1:
        adapt = Window(method, window)
    elif eta is not None:
        adapt = SpeedLimit(method, eta, step_cost=step_cost, backward_cost=backward_cost)
    writer = TraceWriter(stream, checkpoint and checkpoint / ROWS, keep_logits=keep_logits)
    state: dict[str, Any] = {}
    if resume_from is not None:
        state = load_state(resume_from, method, stream, writer)
        adapt.load_state_dict(state["method"])
    start = writer.n_batches
    saver = Saver(
        checkpoint, checkpoint_every, method=method, stream=stream, device=device, stop=stop
    )
    ahead = closing(prefetched(stream.batches(start), prefetch))
    seeded = global_generators(derive(0, "dropout"))
    with same_bits(), seeded, writer, ahead as batches, saver:
        if state:
            set_generators(state["generators"], device)
        so_far = writer.trace()
        for observer in observers:
            observer.on_start(stream, so_far)
        began = now(device)
        for number, batch in enumerate(batches, start):
            x = batch.x.to(device)
            ready = now(device)
            if batch.fresh_start and number:
                adapt.reset()
            with named(number), network_dtype(dtype), PassCounter() as passes:
                logits = adapt(x)
            done = now(device)
            check_output(logits, len(batch.y), number, dtype)
            if isinstance(adapt, SpeedLimit):
                with network_dtype(dtype):
                    adapt.charge(x, passes, seconds=done - ready)
            writer.append(
                batch,
                logits,
                adapt_seconds=done - ready,
                data_seconds=ready - began,
                forwards=passes.n_forwards,
                backwards=passes.n_backwards,
                forward_images=passes.forward_images,
                backward_images=passes.backward_images,
                missed=isinstance(adapt, SpeedLimit) and adapt.missed,
            )
            for observer in observers:
                observer.on_batch(batch, logits)
            saver.after(number + 1, adapt, writer)
            began = now(device)
        trace = writer.trace()
    for observer in observers:
        observer.on_end(trace)
    return trace


@contextmanager
def named(number: int) -> Iterator[None]:
    """An error inside says in which batch it happened."""
    try:
        yield
    except Exception as error:
        error.add_note(f"batch {number}")
        raise


def check_output(logits: Tensor, n_samples: int, number: int, dtype: torch.dtype) -> None:
    """Refuse what is not one finite row of logits a sample, from a network in ``dtype``."""
    if logits.ndim != 2 or len(logits) != n_samples:
        raise ValueError(
            f"batch {number}: expected logits [{n_samples}, K], got {list(logits.shape)}"
        )
    if not torch.isfinite(logits).all():
        wider = "type compute.dtype=bfloat16, as float16 ends at 65504, or "
        raise NonFiniteOutputError(
            f"batch {number}: the method returned NaN or infinity; "
            f"{wider if dtype == torch.float16 else ''}try a smaller optimizer.lr"
        )


def clean_error_pct(
    method: Method,
    images: Images,
    labels: Tensor,
    *,
    batch_size: int,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> float:
    """Error in % on clean images through `predict`, without adapting to them."""
    wrong = 0
    for first in range(0, len(labels), batch_size):
        x, y = images[first : first + batch_size], labels[first : first + batch_size]
        with network_dtype(dtype):
            wrong += int((method.predict(x.to(device)).argmax(1).cpu() != y).sum())
    return 100 * wrong / len(labels)
