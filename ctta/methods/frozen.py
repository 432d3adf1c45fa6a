"""Any method stopped after n batches: the second negative control."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Artefact, Method
from ctta.parts.arguments import count


class Frozen(Method):
    """Adapts as ``method`` does for ``after`` batches, and only predicts from then on.

    A method that is worse than its frozen self is hurt by what it goes on learning. Steps,
    episodes and draws are those of the inner method.

    Args:
        method: the method that is stopped; it is used as it is, not copied.
        after: batches that it may adapt to, counted from the last reset; 0 or more.
        reset: as in `Method`, for the inner method's own ``survives_reset`` too.
    """

    paper = "none"
    version = 1
    not_state = Method.not_state | {"model"}  # saved with the inner method

    def __init__(
        self, method: Method, *, after: int, reset: Literal["official", "full"] = "official"
    ) -> None:
        super().__init__(method.model, reset=reset)
        self.method, self.after, self.n_batches = method, count("after", after, low=0), 0
        self.model = method.model  # the inner method's own, not a second copy
        self.uses_source_data = method.uses_source_data

    def source_part(self, source: SourceData) -> SourceData:
        return self.method.source_part(source)

    def artefact(self, source: SourceData) -> Artefact:
        return self.method.artefact(source)

    def install(self, artefact: Artefact, source: SourceData) -> None:
        self.method.install(artefact, source)
        self.method.remember()

    def adapt(self, x: Tensor) -> Tensor:
        if self.n_batches >= self.after:
            return self.predict(x)
        self.n_batches += 1
        return self.method(x)

    def reset(self) -> None:
        if self.reset_kind == "full":
            self.method.reset_kind = "full"
        self.method.reset()
        self.n_batches = 0

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        return self.method.predict(x)
