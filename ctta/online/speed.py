"""A stream that does not wait: while a method is still busy, batches pass that it only predicts."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.methods.counting import PassCounter
from ctta.online.costs import now

StepCost = Literal["counted", "measured"]


class SpeedLimit:
    """A method in front of a stream that brings ``eta`` batches in the time of a plain forward.

    After a batch that cost r plain forwards, the next ceil(r eta) - 1 batches are missed:
    ``predict`` answers them, and nothing is learned.

    Source: Alfarra et al., "Evaluation of Test-Time Adaptation Under Computational Time
    Constraints", ICML 2024, 2304.04795; MotasemAlfarra/Online_Test_Time_Adaptation at 8e21fad.
    It measures; counting is ours.

    Args:
        method: what adapts.
        eta: speed of the stream, above 0 up to 1.
        step_cost: ``counted``: r = forwards + backward_cost * backwards of an image of the batch
            on average, the same on every machine; ``measured``: seconds of the step over those of
            a plain forward on the same batch.
        backward_cost: of a backward pass in forwards, at least 0; 2 where it multiplies by the
            activations and by the weights.

    Raises:
        ValueError: a value out of range.
    """

    def __init__(
        self, method: Method, eta: float, *, step_cost: StepCost, backward_cost: float
    ) -> None:
        if not 0 < eta <= 1:
            raise ValueError(f"eta: expected above 0 up to 1, got {eta}")
        if step_cost not in get_args(StepCost):
            expected = " or ".join(get_args(StepCost))
            raise ValueError(f"step_cost: expected {expected}, got {step_cost!r}")
        if not backward_cost >= 0:
            raise ValueError(f"backward_cost: expected at least 0, got {backward_cost}")
        self.method, self.eta = method, eta
        self.step_cost, self.backward_cost = step_cost, backward_cost
        self.plain = copy.deepcopy(method.model).eval() if step_cost == "measured" else None
        self.n_to_miss = 0
        self.missed = False

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [B,K] for ``x`` [B,C,H,W]."""
        self.missed = self.n_to_miss > 0
        if self.missed:
            self.n_to_miss -= 1
            return self.method.predict(x).detach()
        return self.method(x)

    def charge(self, x: Tensor, passes: PassCounter, *, seconds: float) -> None:
        """Say what the last call, on ``x``, cost; nothing follows from one that only predicted."""
        if self.missed:
            return
        if self.plain is None:
            images = passes.forward_images + self.backward_cost * passes.backward_images
            cost = images / len(x)
        else:
            cost = seconds / self.plain_seconds(x)
        self.n_to_miss = max(math.ceil(cost * self.eta) - 1, 0)

    @torch.no_grad()
    def plain_seconds(self, x: Tensor) -> float:
        """Seconds of one forward of the source model; the one before it warms up."""
        assert self.plain is not None
        self.plain(x)
        began = now(x.device)
        self.plain(x)
        return now(x.device) - began

    def reset(self) -> None:
        """Nothing is owed, and the method is reset."""
        self.n_to_miss = 0
        self.method.reset()

    def state_dict(self) -> dict[str, Any]:
        """The batches still to miss and the method's state."""
        return {"n_to_miss": self.n_to_miss, "method": self.method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved one stood."""
        self.n_to_miss = state["n_to_miss"]
        self.method.load_state_dict(state["method"])
