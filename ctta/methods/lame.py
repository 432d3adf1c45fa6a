"""LAME: corrects the probabilities of a batch so that neighbours in feature space agree."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ctta.methods.base import Method
from ctta.models.source import SourceModel
from ctta.parts.affinity import AFFINITIES
from ctta.parts.arguments import count, flag, number, one_of


class LAME(Method):
    """Boudiaf et al., "Parameter-free Online Test-time Adaptation", CVPR 2022, arXiv 2201.05718.

    Nothing is learned and nothing is kept from batch to batch. What is returned is the logarithm
    of the corrected probabilities. A batch of one sample is left as the model answers it.

    Args:
        model: the source model.
        affinity: w_ij of two samples' features: ``knn`` (1 for the k nearest), ``rbf`` (Gaussian,
            its width the mean distance to the k-th nearest, oneself counted), ``linear`` (cosine).
        n_neighbors: k.
        force_symmetry: use (W + W^T) / 2.
        pairwise_weight: lambda, of the Laplacian term.
        max_iterations: at most so many updates.
        tolerance: stop at this relative change of the energy, from the third update on.
        probability_floor: added to the model's probabilities before their logarithm.
        shared: see `Method`.

    Raises:
        ValueError: a value out of range; ``rbf`` with one neighbour, oneself, which has no width.
    """

    paper = "arXiv 2201.05718"
    version = 1
    adapts = False

    def __init__(
        self,
        model: SourceModel,
        *,
        affinity: Literal["knn", "rbf", "linear"],
        n_neighbors: int,
        force_symmetry: bool,
        pairwise_weight: float,
        max_iterations: int,
        tolerance: float,
        probability_floor: float,
        **shared: Any,
    ) -> None:
        super().__init__(model, **shared)
        self.affinity = one_of("affinity", affinity, tuple(AFFINITIES))
        self.n_neighbors = count("n_neighbors", n_neighbors, low=2 if affinity == "rbf" else 1)
        self.force_symmetry = flag("force_symmetry", force_symmetry)
        self.pairwise_weight = number("pairwise_weight", pairwise_weight, low=0)
        self.max_iterations = count("max_iterations", max_iterations)
        self.tolerance = number("tolerance", tolerance, low=0)
        self.probability_floor = number("probability_floor", probability_floor, low=0)
        self.model.eval().requires_grad_(False)

    def adapt(self, x: Tensor) -> Tensor:
        return self.predict(x)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        features, logits = self.model.features_and_logits(x)
        if len(x) == 1:
            return logits.log_softmax(1)
        kernel = AFFINITIES[self.affinity](F.normalize(features), self.n_neighbors)
        if self.force_symmetry:
            kernel = (kernel + kernel.T) / 2
        self.observe("features", features)
        self.observe("kernel", kernel)
        unary = -(logits.softmax(1) + self.probability_floor).log()
        corrected = self.concave_convex(unary, self.pairwise_weight * kernel)
        return corrected.clamp_min(torch.finfo(corrected.dtype).tiny).log()

    def concave_convex(self, unary: Tensor, kernel: Tensor) -> Tensor:
        """Y [B,K] that lowers ``sum(U Y - Y W Y + Y log Y)``; each row sums to 1."""
        y, energies = (-unary).softmax(1), []
        for iteration in range(self.max_iterations):
            pairwise = kernel @ y
            y = (pairwise - unary).softmax(1)
            # As in the official code: the pairwise term of the previous Y with the new Y.
            energy = (unary * y - pairwise * y + y * y.clamp_min(1e-20).log()).sum().item()
            energies.append(energy)
            if iteration > 1 and abs(energy - energies[-2]) <= self.tolerance * abs(energies[-2]):
                break
        if self.observers:
            padding = [float("nan")] * (self.max_iterations - len(energies))
            self.observe("n_iter", torch.tensor(len(energies)))
            self.observe("energy", torch.tensor(energies + padding, dtype=torch.float64))
        return y
