"""Counts the forwards and backwards that a method makes, without the method's help."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor

from ctta.models.source import SourceModel, heard


class PassCounter:
    """Counts forwards of source models and backward passes through them while it is entered.

    Attributes:
        n_forwards: calls of any `SourceModel`.
        n_backwards: backward passes; one over several outputs counts once.
        forward_images: images in those calls.
        backward_images: images in those outputs that a gradient came to.
    """

    def __init__(self) -> None:
        self.n_forwards = self.n_backwards = 0
        self.forward_images = self.backward_images = 0
        self.last_pass = -1

    def __enter__(self) -> PassCounter:
        self.listening = heard(self.saw_forward)
        self.listening.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.listening.__exit__(kind, error, trace)

    def saw_forward(self, _model: SourceModel, x: Tensor, logits: Tensor) -> None:
        self.n_forwards += 1
        self.forward_images += len(x)
        if logits.requires_grad:
            logits.register_hook(self.saw_backward)  # type: ignore[no-untyped-call]

    def saw_backward(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)
        # The number of the running backward pass: a pass over two outputs comes here twice.
        this_pass = torch._C._current_graph_task_id()
        if this_pass != self.last_pass:
            self.last_pass = this_pass
            self.n_backwards += 1
