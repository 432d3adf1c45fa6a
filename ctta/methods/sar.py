"""SAR: sharpness-aware entropy minimisation on reliable samples, with recovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.arguments import fraction, number
from ctta.parts.batch_norm import norm_only
from ctta.parts.late_layers import late_layers
from ctta.parts.losses import entropy
from ctta.parts.optimizer import make_optimizer
from ctta.parts.selection import mean_over, reliable


class SAR(Method):
    """Niu et al., "Towards Stable Test-Time Adaptation in Dynamic Wild World", ICLR 2023.

    Args:
        model: the source model.
        optimizer: ``sam_sgd`` with SGD's own keys and ``rho``, the radius of the ascent.
        entropy_margin: E0 / ln K; reliable is an entropy below it.
        loss_ema_decay: of the running loss e.
        reset_below: e below this resets the method.
        variant: which late layers are not trained: ``official``, those that the authors' code has
            the names of (in some models none); ``paper``, the last stage of any model.
        shared: see `Method`.

    Attributes:
        ema: e, or None before the first loss and after a reset.
    """

    paper = "arXiv 2302.12400"
    version = 1
    survives_reset = ("optimizer",)
    not_state = Method.not_state | {"trained"}  # saved with the model

    def __init__(
        self,
        model: SourceModel,
        *,
        optimizer: Mapping[str, Any],
        entropy_margin: float,
        loss_ema_decay: float,
        reset_below: float,
        variant: Literal["official", "paper"] = "official",
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.entropy_margin = number("entropy_margin", entropy_margin, low=0)
        self.loss_ema_decay = fraction("loss_ema_decay", loss_ema_decay)
        self.reset_below = number("reset_below", reset_below)
        self.trained = norm_only(self.model, leave_out=late_layers(self.model, variant))
        node = dict(optimizer)
        self.radius = number("optimizer.rho", node.pop("rho", None), low=0)
        if node["name"] != "sam_sgd":
            raise ValueError(f"optimizer.name: SAR takes sam_sgd, got {node['name']!r}")
        self.optimizer = make_optimizer(self.trained.values(), {**node, "name": "sgd"})
        self.ema: float | None = None

    @torch.enable_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        entropies = entropy(logits)
        first = reliable(entropies, self.entropy_margin, logits.shape[1])
        start = self.ascend(mean_over(entropies, first))
        second_entropies = entropy(self.model(x))
        second = first & reliable(second_entropies, self.entropy_margin, logits.shape[1])
        loss = mean_over(second_entropies, second)
        if second.any():
            new, decay = float(loss.detach()), self.loss_ema_decay
            self.ema = new if self.ema is None else decay * self.ema + (1 - decay) * new
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.go_back(start)
        self.optimizer.step()  # also without a sample: the momentum moves the weights
        self.observe("entropy_first", entropies)
        self.observe("entropy_second", second_entropies)
        if self.ema is not None and self.ema < self.reset_below:
            self.reset()
        return logits

    @torch.no_grad()
    def ascend(self, loss: Tensor) -> list[Tensor]:
        """Climb to the worst point within the radius; returns the weights from before."""
        parameters: list[Tensor] = [*self.trained.values()]
        gradients = torch.autograd.grad(loss, parameters)
        norm = vector_norm(torch.stack(torch._foreach_norm(gradients)))
        self.observe("grad_norm", norm)
        start = [p.clone() for p in parameters]
        climb = torch._foreach_mul(gradients, self.radius / (norm + 1e-12))
        torch._foreach_add_(parameters, [*climb])
        return start

    @torch.no_grad()
    def go_back(self, start: list[Tensor]) -> None:
        """The weights from before the ascent; their gradients stay."""
        torch._foreach_copy_([*self.trained.values()], start)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits
