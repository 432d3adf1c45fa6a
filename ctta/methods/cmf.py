"""CMF: ROID's loss; the weights are averaged with a hidden model that a Kalman filter moves."""

from __future__ import annotations

from typing import Any

import torch

from ctta import kernels
from ctta.methods.likelihood_ratio import LikelihoodRatio
from ctta.models.source import SourceModel
from ctta.parts.arguments import fraction, number

# The number of normalisation parameters of ViT-B/16, for which Q is given.
NOISE_IS_GIVEN_FOR = 38_400
LEAST_GAIN, NO_GAIN = 0.89, 0.9999


class CMF(LikelihoodRatio):
    """Lee and Chang, "Continual Momentum Filtering on Parameter Space for Online Test-time
    Adaptation", ICLR 2024, as ported in mariodoebler/test-time-adaptation at 8b2ed63.

    A batch of one image: see `LikelihoodRatio`.

    Args:
        model: the source model.
        hidden_decay: alpha; the hidden model h falls back to the source by 1 - alpha.
        student_decay: gamma; after each update ``theta <- gamma theta + (1-gamma) h``.
        process_noise: Q, for 38,400 trained numbers; scaled to how many there are.
        shared: see `LikelihoodRatio` and `Method`.

    Attributes:
        hidden: h by parameter.
        hidden_var: its variance v.
    """

    paper = "ICLR 2024, Continual Momentum Filtering"
    version = 1
    survives_reset = ("hidden_var",)
    not_state = LikelihoodRatio.not_state | {"anchor"}  # never moves

    def __init__(
        self,
        model: SourceModel,
        *,
        hidden_decay: float,
        student_decay: float,
        process_noise: float,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.hidden_decay = fraction("hidden_decay", hidden_decay)
        self.student_decay = fraction("student_decay", student_decay)
        n_trained = sum(p.numel() for p in self.trained.values())
        self.noise = number("process_noise", process_noise, low=0) * n_trained / NOISE_IS_GIVEN_FOR
        if self.noise >= 1:
            raise ValueError(
                f"process_noise: expected below {process_noise / self.noise:g} for {n_trained} "
                f"trained numbers, got {process_noise:g}"
            )
        self.anchor = {name: p.detach().clone() for name, p in self.trained.items()}
        self.hidden = {name: value.clone() for name, value in self.anchor.items()}
        self.hidden_var = 0.0

    @torch.no_grad()
    def hold(self) -> None:
        hidden = self.hidden.values()
        kernels.ema_(hidden, self.anchor.values(), self.hidden_decay)
        self.hidden_var = self.hidden_decay**2 * self.hidden_var + self.noise
        gain = max((1 - self.noise) / (self.hidden_var + 1 - self.noise), LEAST_GAIN)
        gain = 1.0 if gain >= NO_GAIN else gain
        self.hidden_var *= gain
        if gain < 1:
            kernels.ema_(hidden, self.trained.values(), gain)
        kernels.ema_(self.trained.values(), hidden, self.student_decay)
        if self.observers:
            self.observe("beta", torch.tensor(gain, dtype=torch.float64))
