"""Training of the small source models: once, on one thread, always to the same bits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ctta.data.source import SourceData
from ctta.models.source import SourceModel

RECIPE_VERSION = 1
"""Changes with anything below that moves a weight."""

BATCH = 64
MAX_SHIFT = 2  # pixels
Report = Callable[[int, int, float], None]


def train(
    model: SourceModel,
    data: SourceData,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    seed: int = 0,
    report: Report | None = None,
) -> None:
    """Train ``model`` in place with AdamW and a one-cycle schedule on shifted images.

    Args:
        model: its initial weights decide the result too.
        data: the training split.
        epochs: passes over the data.
        lr: the schedule's peak.
        weight_decay: decoupled.
        seed: of the order and the shifts.
        report: called after each epoch with (epoch from 1, epochs, mean loss).
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    n_batches = -(-len(data.images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * n_batches)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model.train()
    try:
        for epoch in range(1, epochs + 1):
            total = 0.0
            order = torch.randperm(len(data.images), generator=generator)
            for chosen in torch.split(order, BATCH):
                logits = model(shifted(data.images[chosen], generator))
                loss = F.cross_entropy(logits, data.labels[chosen])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
                total += loss.item() * len(chosen)
            if report:
                report(epoch, epochs, total / len(order))
    finally:
        torch.set_num_threads(threads)
        model.eval()


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """The batch moved by up to ``MAX_SHIFT`` pixels, edges repeated; one shift for all images."""
    side = images.shape[-1]
    padded = F.pad(images, (MAX_SHIFT,) * 4, mode="replicate")
    down, right = torch.randint(2 * MAX_SHIFT + 1, (2,), generator=generator).tolist()
    return padded[..., down : down + side, right : right + side]
