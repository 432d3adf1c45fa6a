"""The online loop: one pass, predicting as it goes. Labels, ids and domains stop here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.online.checkpoint import load_checkpoint, save_checkpoint
from ctta.online.costs import now
from ctta.online.observers import Observer
from ctta.online.trace import Trace, TraceWriter
from ctta.online.window import Window
from ctta.seeding import derive, global_generators
from ctta.streams.stream import Stream


class NonFiniteOutputError(ValueError):
    """A method returned NaN or infinity."""


def run_online(
    method: Method,
    stream: Stream,
    *,
    device: str | torch.device = "cpu",
    observers: Sequence[Observer] = (),
    window: int = 1,
    resume_from: Path | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 0,
) -> Trace:
    """Feed ``stream`` to ``method`` once, and return one row per sample.

    Args:
        method: adapts; gets the images and nothing else.
        stream: labelled batches.
        device: where the method's model is, and the images go.
        observers: told of each batch.
        window: above 1, samples come one at a time through a ring of that length.
        resume_from: a checkpoint of the same method and stream; the trace is that of an
            undisturbed run, bit for bit.
        checkpoint: file to save to.
        checkpoint_every: batches between two saves; 0: none.

    Raises:
        NonFiniteOutputError: names the batch.
        ValueError: a checkpoint of something else.
    """
    device = torch.device(device)
    adapt = method if window == 1 else Window(method, window)
    writer = TraceWriter(stream)
    start = 0
    with global_generators(derive(0, "dropout")):
        if resume_from is not None:
            state = load_checkpoint(resume_from)
            if state["stream_sha256"] != stream.stream_sha256:
                raise ValueError(f"{resume_from} belongs to another stream; start the run again")
            start = state["n_batches"]
            adapt.load_state_dict(state["method"])
            writer.load_state_dict(state["trace"])
            torch.set_rng_state(state["torch_generator"])
        for observer in observers:
            observer.on_start(stream, start)
        began = now(device)
        for number, batch in enumerate(stream.batches(start), start):
            x = batch.x.to(device)
            ready = now(device)
            if batch.fresh_start and number:
                adapt.reset()
            passes = method.n_forwards, method.n_backwards
            logits = adapt(x)
            done = now(device)
            check_output(logits, len(batch.y), number)
            writer.append(
                batch,
                logits,
                adapt_seconds=done - ready,
                data_seconds=ready - began,
                forwards=method.n_forwards - passes[0],
                backwards=method.n_backwards - passes[1],
            )
            for observer in observers:
                observer.on_batch(batch, logits)
            if checkpoint and checkpoint_every and (number + 1) % checkpoint_every == 0:
                state = {"stream_sha256": stream.stream_sha256, "n_batches": number + 1}
                state |= {"method": adapt.state_dict(), "trace": writer.state_dict()}
                save_checkpoint(checkpoint, {**state, "torch_generator": torch.get_rng_state()})
            began = now(device)
    trace = writer.trace()
    for observer in observers:
        observer.on_end(trace)
    return trace


def check_output(logits: Tensor, n_samples: int, number: int) -> None:
    """Refuse what is not one finite row of logits a sample."""
    if logits.ndim != 2 or len(logits) != n_samples:
        raise ValueError(
            f"batch {number}: expected logits [{n_samples}, K], got {list(logits.shape)}"
        )
    if not torch.isfinite(logits).all():
        raise NonFiniteOutputError(
            f"batch {number}: the method returned NaN or infinity; try a smaller optimizer.lr"
        )


def clean_error_pct(
    method: Method,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int,
    device: str | torch.device = "cpu",
) -> float:
    """Error in % on clean images through `predict`, without adapting to them."""
    wrong = 0
    for x, y in zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True):
        wrong += int((method.predict(x.to(device)).argmax(1).cpu() != y).sum())
    return 100 * wrong / len(labels)
