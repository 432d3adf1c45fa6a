"""Wrong versions of DeYO."""

from __future__ import annotations

import torch
from mutant import Mutant

from ctta.methods.deyo import DeYO


class WholeBatchDestroyed(DeYO):
    """The destroyed images share a forward, and its statistics, with the whole batch."""

    @torch.no_grad()
    def drop(self, x, logits, kept):
        drop = torch.zeros_like(logits[:, 0])
        if kept.any():
            mixed = x.clone()
            mixed[kept] = self.augment(x[kept])
            after = self.model(mixed).softmax(1)
            before, answer = logits.softmax(1).max(1)
            drop = torch.where(kept, before - after.gather(1, answer[:, None])[:, 0], drop)
        return drop


class NoDropFilter(DeYO):
    def __init__(self, model, *, min_prob_drop, **rest):
        super().__init__(model, min_prob_drop=-1.0, **rest)


class NoEntropyFilter(DeYO):
    def __init__(self, model, *, entropy_margin, **rest):
        super().__init__(model, entropy_margin=2 * entropy_margin, **rest)


class WeightsMultiplied(DeYO):
    def weights(self, entropies, drop, n_classes):
        if not (self.weight_by_entropy and self.weight_by_drop):
            return super().weights(entropies, drop, n_classes)
        return (super().weights(entropies, drop, n_classes) - drop.exp()) * drop.exp()


class Unweighted(DeYO):
    def weights(self, entropies, drop, n_classes):
        return torch.ones_like(drop)


class AnswersAfterUpdate(DeYO):
    def adapt(self, x):
        super().adapt(x)
        return self.predict(x)


MUTANTS = [
    Mutant("deyo", "destroyed inside the batch", WholeBatchDestroyed),
    Mutant("deyo", "every drop kept", NoDropFilter),
    Mutant("deyo", "margin doubled", NoEntropyFilter),
    Mutant("deyo", "weights multiplied", WeightsMultiplied),
    Mutant("deyo", "no weights", Unweighted),
    Mutant("deyo", "answer after the update", AnswersAfterUpdate),
]
