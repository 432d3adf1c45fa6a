"""What every method is: batch in, logits out, and a state that it may change on the way."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ctta.data.source import SourceData
from ctta.methods.counting import PassCounter
from ctta.methods.method_type import MethodType
from ctta.methods.state import (
    FlatState,
    Scalar,
    load_state,
    read_state,
    refuse_hooks_over,
    save_state,
)
from ctta.models.source import SourceModel
from ctta.parts.arguments import count, flag, one_of

Observer = Callable[[str, Tensor], None]
Artefact = FlatState


class Method(ABC, metaclass=MethodType):
    """An online adaptation method.

    A subclass keeps its state in attributes; saving, loading, resetting and copying are derived
    from them. Its random draws come from generators that it keeps as attributes too.

    Args:
        model: the source model; the method works on a copy, the caller's stays as it is.
        steps: updates per batch; the prediction of the last one is returned.
        episodic: reset before every batch.
        seed: of the method's own draws.
        reset: ``official`` keeps what ``survives_reset`` names, ``full`` keeps nothing.

    Attributes:
        arguments: what the constructor was given, defaults included, without the model.
        n_forwards: calls of the model and its copies so far; not state.
        n_backwards: backward passes so far; not state.
        observers: called with (name, tensor) of inner quantities; not state, not copied.

    Raises:
        ValueError: ``steps`` below 1, or an unknown ``reset``.
    """

    paper: ClassVar[str]
    version: ClassVar[int]
    adapts: ClassVar[bool] = True  # False: answers every batch as if it was the first
    uses_source_data: bool = False  # an instance may say otherwise than its class
    # Arguments that the artefact depends on; None: all of them.
    artefact_depends_on: ClassVar[tuple[str, ...] | None] = None
    survives_reset: ClassVar[tuple[str, ...]] = ()
    # How the method was made, what it returns to, who listens and what it cost are not state.
    not_state: ClassVar[frozenset[str]] = frozenset(
        {
            "uses_source_data",
            "arguments",
            "steps",
            "episodic",
            "reset_kind",
            "start",
            "seed",
            "observers",
            "counter",
        }
    )

    def __init__(
        self,
        model: SourceModel,
        *,
        steps: int = 1,
        episodic: bool = False,
        seed: int = 0,
        reset: Literal["official", "full"] = "official",
    ) -> None:
        self.steps = count("steps", steps)
        self.episodic = flag("episodic", episodic)
        self.reset_kind = one_of("reset", reset, ("official", "full"))
        self.arguments: dict[str, Any] = {}
        self.start: FlatState = {}
        self.observers: list[Observer] = []
        self.counter = PassCounter()
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)
        self.model = copy.deepcopy(model)

    # --- what a method defines -----------------------------------------------------------------

    @abstractmethod
    def adapt(self, x: Tensor) -> Tensor:
        """Logits [B,K] for ``x`` [B,C,H,W]; may learn on the way."""

    @abstractmethod
    def predict(self, x: Tensor) -> Tensor:
        """What the method would answer now, [B,K], changing nothing and drawing nothing."""

    def source_part(self, source: SourceData) -> SourceData:
        """What of ``source`` the artefact is made from."""
        return source

    def artefact(self, source: SourceData) -> Artefact:
        """What the method needs of the training data, as names -> tensors and scalars.

        It depends on nothing but the source model, ``source`` and the arguments, so that it can
        be kept in a cache.
        """
        return {}

    def install(self, artefact: Artefact, source: SourceData) -> None:
        """Take an artefact into use."""

    # --- what every method has -----------------------------------------------------------------

    def __call__(self, x: Tensor) -> Tensor:
        """One batch of the stream: reset if episodic, then `updates`."""
        if self.episodic:
            self.reset()
        with self.counter:
            logits = self.updates(x)
        return logits.detach()

    def updates(self, x: Tensor) -> Tensor:
        """``steps`` times `adapt`; a method whose steps share work on the batch does it here."""
        for _ in range(self.steps):
            logits = self.adapt(x)
        return logits

    @property
    def n_forwards(self) -> int:
        return self.counter.n_forwards

    @property
    def n_backwards(self) -> int:
        return self.counter.n_backwards

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        return next(self.model.parameters()).dtype

    def observe(self, name: str, value: Tensor) -> None:
        """Hand an inner quantity to whoever listens; free when nobody does."""
        for observer in self.observers:
            observer(name, value.detach())

    def prepare(self, source: SourceData) -> None:
        """Build and install the artefact; `reset` then goes back to the state after that."""
        self.install(self.artefact(source), source)
        self.remember()

    def remember(self) -> None:
        """Make the present state the one that `reset` goes back to."""
        self.start = self.state_dict()

    def reset(self) -> None:
        """Back to the state after preparation, optimizer and generators included."""
        kept = () if self.reset_kind == "full" else self.survives_reset
        for name in self.state_names():
            if name not in kept:
                setattr(self, name, load_state(getattr(self, name), read_state(self.start, name)))

    def state_names(self) -> list[str]:
        """The attributes that are state."""
        return [name for name in vars(self) if name not in self.not_state]

    def state_dict(self) -> FlatState:
        """The state as a flat map from paths to tensors and JSON scalars, all copied.

        Raises:
            ValueError: an attribute that cannot be saved, or a hook that closes over the method.
        """
        state: FlatState = {}
        for name in self.state_names():
            value = getattr(self, name)
            if isinstance(value, nn.Module):
                refuse_hooks_over(self, value, name)
            save_state(value, name, state)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Copy a state in place, so that aliases hold.

        Raises:
            ValueError: the state's names are not the method's.
        """
        saved, mine = {path.split("/")[0] for path in state}, set(self.state_names())
        if saved != mine:
            odd = ", ".join(sorted(saved ^ mine))
            raise ValueError(
                f"the saved state belongs to another method or version (it differs in: {odd}); "
                "start the run anew"
            )
        for name in self.state_names():
            setattr(self, name, load_state(getattr(self, name), read_state(state, name)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Method:
        """An independent copy without observers; the start snapshot never changes, so is shared."""
        made = copy.copy(self)
        memo[id(self)] = made
        for name, value in vars(self).items():
            if name not in ("start", "observers", "counter"):
                setattr(made, name, copy.deepcopy(value, memo))
        made.observers, made.counter = [], PassCounter()
        return made
