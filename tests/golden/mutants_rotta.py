"""Wrong versions of RoTTA."""

from __future__ import annotations

from unittest.mock import patch

import torch
from mutant import Mutant

from ctta.methods.rotta import RoTTA
from ctta.parts.category_memory import CategoryMemory


def memory(**changed):
    """A patch of methods of the memory."""
    return lambda: patch.multiple(CategoryMemory, **changed)


def age_only(self, age, uncertainty):
    return self.age_weight * age


def unbalanced(self, label, score):
    while len(self) >= self.max_memory:
        next(own for own in self.by_class if own).pop(0)
    return True


def keeps_young(self, image, label, uncertainty):
    right_add(self, image, label, uncertainty)
    if not any(self.age(item) == 1 for item in self.items()):
        self.n_insertions -= 1


right_add = CategoryMemory.add


class UpdatesAtTheEnd(RoTTA):
    """One update a batch, after all its samples."""

    def adapt(self, x):
        n_before, every = self.n_seen, self.update_every
        self.update_every = 10**9
        logits = super().adapt(x)
        self.update_every = every
        if self.n_seen // every > n_before // every:
            self.update()
        return logits


class Unweighted(RoTTA):
    def update(self):
        with patch.object(
            CategoryMemory, "age_weights", lambda memory: torch.ones(len(memory.items()))
        ):
            super().update()


class AnswersAfterUpdate(RoTTA):
    def adapt(self, x):
        super().adapt(x)
        return self.predict(x)


class TeacherStays(RoTTA):
    def __init__(self, model, *, ema_decay, **rest):
        super().__init__(model, ema_decay=1.0, **rest)


class EmaCoversStatistics(RoTTA):
    def update(self):
        super().update()
        for mine, theirs in zip(self.teacher.buffers(), self.model.buffers(), strict=True):
            if mine.is_floating_point():
                mine.mul_(self.ema_decay).add_(theirs, alpha=1 - self.ema_decay)


class MemorySurvives(RoTTA):
    def reset(self):
        kept = self.memory.state_dict()
        super().reset()
        self.memory.load_state_dict(kept)


MUTANTS = [
    Mutant("rotta", "score of age alone", RoTTA, memory(score=age_only)),
    Mutant("rotta", "classes not balanced", RoTTA, memory(has_room=unbalanced)),
    Mutant("rotta", "no ageing after a refusal", RoTTA, memory(add=keeps_young)),
    Mutant("rotta", "one update a batch", UpdatesAtTheEnd),
    Mutant("rotta", "no age weights", Unweighted),
    Mutant("rotta", "answer after the update", AnswersAfterUpdate),
    Mutant("rotta", "teacher stays", TeacherStays),
    Mutant("rotta", "statistics averaged too", EmaCoversStatistics),
    Mutant("rotta", "memory survives reset", MemorySurvives),
]
