"""Counts the forwards and backwards that a method makes, without the method's help."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ctta.models.source import SourceModel


class PassCounter:
    """Counts calls of source models and backward passes through their outputs while it is entered.

    Attributes:
        n_forwards: calls of any `SourceModel`.
        n_backwards: backward passes; one over several outputs counts once.
    """

    def __init__(self) -> None:
        self.n_forwards = self.n_backwards = 0
        self.last_pass = -1

    def __enter__(self) -> PassCounter:
        self.handle = nn.modules.module.register_module_forward_hook(self.saw_forward)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.handle.remove()

    def saw_forward(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(module, SourceModel):
            self.n_forwards += 1
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(self.saw_backward)  # type: ignore[no-untyped-call]

    def saw_backward(self, _gradient: Tensor) -> None:
        # The number of the running backward pass: a pass over two outputs comes here twice.
        this_pass = torch._C._current_graph_task_id()
        if this_pass != self.last_pass:
            self.last_pass = this_pass
            self.n_backwards += 1
