"""Wrong versions of SAR."""

from __future__ import annotations

from unittest.mock import patch

import torch
from mutant import Mutant, full_reset

from ctta.methods import sar
from ctta.methods.sar import SAR


class MomentumCleared(SAR):
    reset = full_reset


class NoAscent(SAR):
    def __init__(self, model, **rest):
        super().__init__(model, **rest)
        self.radius = 0.0


class NormPerTensor(SAR):
    def ascend(self, loss):
        start = [p.detach().clone() for p in self.trained.values()]
        gradients = torch.autograd.grad(loss, list(self.trained.values()))
        with torch.no_grad():
            for p, g in zip(self.trained.values(), gradients, strict=True):
                p.add_(g * (self.radius / (g.norm() + 1e-12)))
        return start


class NotBack(SAR):
    def go_back(self, start):
        pass


class EmptySkipped(SAR):
    def adapt(self, x):
        before = {n: p.detach().clone() for n, p in self.trained.items()}
        with torch.no_grad():
            kept = sar.reliable(sar.entropy(self.model(x)), self.entropy_margin, 10).any()
        logits = super().adapt(x)
        if not kept:
            with torch.no_grad():
                for n, p in self.trained.items():
                    p.copy_(before[n])
        return logits


class OneFilter(SAR):
    """The second filter passes everything."""

    def adapt(self, x):
        calls = []

        def first_only(entropies, margin, n_classes):
            calls.append(0)
            kept = entropies < margin * torch.log(torch.tensor(float(n_classes)))
            return kept if len(calls) == 1 else torch.ones_like(kept)

        with patch.object(sar, "reliable", first_only):
            return super().adapt(x)


class EmaKept(SAR):
    def reset(self):
        kept = self.ema
        super().reset()
        self.ema = kept


class NeverRecovers(SAR):
    def __init__(self, model, *, reset_below, **rest):
        super().__init__(model, reset_below=-1.0, **rest)


MUTANTS = [
    Mutant("sar", "momentum cleared", MomentumCleared),
    Mutant("sar", "no ascent", NoAscent),
    Mutant("sar", "a norm for each tensor", NormPerTensor),
    Mutant("sar", "stays at the worst point", NotBack),
    Mutant("sar", "empty batches skipped", EmptySkipped),
    Mutant("sar", "one filter", OneFilter),
    Mutant("sar", "old average after recovery", EmaKept),
    Mutant("sar", "never recovers", NeverRecovers),
]
