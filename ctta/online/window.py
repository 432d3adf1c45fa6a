"""Samples one at a time: a full window to `adapt`, `predict` in between."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ctta.methods.base import Method


class Window:
    """A ring of the last ``length`` samples in front of a method.

    It grows to ``length`` and then overwrites the oldest. When the newest sample lands in the last
    row, the method adapts to the whole ring; otherwise it only predicts. The newest sample's entry
    is returned.

    Args:
        method: what adapts.
        length: rows of the ring, at least 1.
    """

    def __init__(self, method: Method, length: int) -> None:
        if length < 1:
            raise ValueError(f"window: expected at least 1, got {length}")
        self.method, self.length = method, length
        self.ring: Tensor | None = None
        self.n_seen = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [B,K] for ``x`` [B,C,H,W], sample by sample."""
        if self.ring is not None:
            self.ring = self.ring.to(x.device)  # a loaded one is on the CPU
        return torch.cat([self.one(sample[None]) for sample in x])

    def one(self, sample: Tensor) -> Tensor:
        """Logits [1,K] of one sample [1,C,H,W]."""
        row = self.n_seen % self.length
        if self.ring is None or len(self.ring) < self.length:
            self.ring = sample.clone() if self.ring is None else torch.cat([self.ring, sample])
        else:
            self.ring[row] = sample[0]
        self.n_seen += 1
        if row == self.length - 1:
            return self.method(self.ring)[row : row + 1]
        return self.method.predict(self.ring).detach()[row : row + 1]

    def reset(self) -> None:
        """Empty the ring and reset the method."""
        self.ring, self.n_seen = None, 0
        self.method.reset()

    def state_dict(self) -> dict[str, Any]:
        """Ring, position and the method's state."""
        return {"ring": self.ring, "n_seen": self.n_seen, "method": self.method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved one stood."""
        self.ring, self.n_seen = state["ring"], state["n_seen"]
        self.method.load_state_dict(state["method"])
