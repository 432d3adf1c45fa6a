"""A small memory of recent, certain and class-balanced samples: RoTTA's CSTU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(eq=False)
class Item:
    """One stored sample.

    Attributes:
        image: [C,H,W]; a part of its batch until `CategoryMemory.images` has copied it.
        label: its pseudo-label.
        uncertainty: entropy of the prediction when it came.
        born: insertions before its own.
    """

    image: Tensor
    label: int
    uncertainty: float
    born: int


class CategoryMemory:
    """At most N samples, about N/K a class; the oldest and least certain make room.

    Args:
        max_memory: N.
        n_classes: K.
        age_weight: lambda_t of the score ``lambda_t / (1 + exp(-age/N)) + lambda_u u / ln K``.
        uncertainty_weight: lambda_u.
    """

    def __init__(
        self, max_memory: int, n_classes: int, *, age_weight: float, uncertainty_weight: float
    ) -> None:
        self.max_memory, self.n_classes = max_memory, n_classes
        self.most_uncertain = math.log(n_classes)
        self.age_weight, self.uncertainty_weight = age_weight, uncertainty_weight
        self.by_class: list[list[Item]] = [[] for _ in range(n_classes)]
        self.n_insertions = 0
        self.holds_batches = False  # images that are parts of their batches

    def __len__(self) -> int:
        return sum(map(len, self.by_class))

    def items(self) -> list[Item]:
        """Classes ascending, inside a class in the order of insertion."""
        return [item for own in self.by_class for item in own]

    def age(self, item: Item) -> int:
        """Insertions since it came, its own included."""
        return self.n_insertions - item.born

    def score(self, age: int, uncertainty: float) -> float:
        """The larger, the sooner it leaves."""
        timely = self.age_weight / (1 + math.exp(-age / self.max_memory))
        return timely + self.uncertainty_weight * uncertainty / self.most_uncertain

    def add(self, image: Tensor, label: int, uncertainty: float) -> None:
        """Insert one sample, if it is worth its place; all that is stored grows older.

        Its image is not copied: see `copy_images`.
        """
        if self.has_room(label, self.score(0, uncertainty)):
            self.by_class[label].append(Item(image, label, uncertainty, self.n_insertions))
            self.holds_batches = True
        self.n_insertions += 1

    def copy_images(self) -> None:
        """Let go of the batches that stored images are parts of."""
        if self.holds_batches:
            self.images()

    def has_room(self, label: int, score: float) -> bool:
        """Whether a sample of that class and score gets in; makes room for it if need be."""
        candidates = self.by_class[label]
        if len(candidates) < self.max_memory / self.n_classes:
            if len(self) < self.max_memory:
                return True
            largest = max(map(len, self.by_class))
            candidates = [i for own in self.by_class if len(own) == largest for i in own]
        now = self.n_insertions
        scores = [self.score(now - item.born, item.uncertainty) for item in candidates]
        highest = max(scores)
        if highest <= score:
            return False
        worst = candidates[len(scores) - 1 - scores[::-1].index(highest)]  # of equals the last
        self.by_class[worst.label].remove(worst)
        return True

    def images(self) -> Tensor:
        """All images [M,C,H,W], in the order of `items`, which hold parts of this from now on."""
        items = self.items()
        together = torch.stack([item.image for item in items])
        if self.holds_batches:
            for item, image in zip(items, together, strict=True):
                item.image = image
            self.holds_batches = False
        return together

    def age_weights(self) -> Tensor:
        """``exp(-a) / (1 + exp(-a))``, a = age/N, float32 [M] as in the official code."""
        minus_a = [-self.age(item) / self.max_memory for item in self.items()]
        falling = torch.tensor(minus_a, dtype=torch.float32).exp()
        return falling / (1 + falling)

    def state_dict(self) -> dict[str, Any]:
        """The items, as tensors and lists."""
        items = self.items()
        return {
            "images": [item.image for item in items],
            "labels": [item.label for item in items],
            "uncertainties": [item.uncertainty for item in items],
            "ages": [self.age(item) for item in items],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold the saved items."""
        self.by_class, self.n_insertions = [[] for _ in range(self.n_classes)], 0
        self.holds_batches = False
        columns = (state[name] for name in ("images", "labels", "uncertainties", "ages"))
        for image, label, uncertainty, age in zip(*columns, strict=True):
            self.by_class[label].append(Item(image, label, uncertainty, born=-age))
