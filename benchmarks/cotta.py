"""A whole step of CoTTA on the CPU, against a straight transcription of the official one.

    python benchmarks/cotta.py [--views 32] [--rounds 3] [--json DIR]

The CIFAR variant with its published values (lr 0.001, decay 0.999, p = 0.01) in one thread, on the
small CNN of the digits and on ResNet-50 with random weights; once with an anchor that is sure,
where the official code computes the views and throws them away, and once with one that is not. Both
take turns, with the same draws for the views. "difference" is the largest between their predictions
in the first step, over the largest logit; "spread" is how far ours is off itself.
"""

import argparse
from pathlib import Path

import official
import torch
import torchvision
from timing import off_itself, side_by_side, write
from torch import Tensor

from ctta.methods.cotta import CoTTA
from ctta.models.digits import TinyCNN
from ctta.models.source import SourceModel, WrappedModel
from ctta.parts.augment import Augmentation
from ctta.parts.view_stages import view_stages

DECAY, RESTORE_PROB, RATE = 0.999, 0.01, 1e-3


def resnet50() -> SourceModel:
    network = torchvision.models.resnet50(weights=None, num_classes=10)
    return WrappedModel(network, name="resnet50", image_shape=(3, 64, 64))


CASES = {
    "small CNN, batch 200": (TinyCNN, (200, 3, 32, 32)),
    "ResNet-50, batch 8": (resnet50, (8, 3, 64, 64)),
}


def torchvision_view() -> official.View:
    """A view as torchvision makes it, on a padded image."""
    chain = Augmentation(torch.Generator().manual_seed(0))

    def view(x: Tensor) -> Tensor:
        *_, (_, made) = view_stages(x, chain.draw(x))
        return made

    return view


def compared(
    model: SourceModel, x: Tensor, *, n_views: int, unsure_below: float, rounds: int
) -> dict[str, float]:
    """Milliseconds of both steps, their ratio, its spread and how far the predictions differ."""
    shared = {"ema_decay": DECAY, "n_views": n_views, "unsure_below": unsure_below}
    given = {**shared, "restore_prob": RESTORE_PROB}
    optimizer = {"name": "adam", "lr": RATE}
    one, two = (CoTTA(model, optimizer=optimizer, symmetric_loss=False, **given) for _ in range(2))
    theirs = official.CoTTA(model, torchvision_view(), lr=RATE, **given)
    first = one(x)
    difference = (first - theirs(x)).abs().max() / first.abs().max()
    works = {"ours": lambda: one(x), "ours again": lambda: two(x), "official": lambda: theirs(x)}
    found = side_by_side(works, rounds=rounds)
    best = {name: own["seconds"] for name, own in found.items()}
    spreads = [own["spread"] for own in found.values()]
    return {
        "ours_ms": 1e3 * best["ours"],
        "official_ms": 1e3 * best["official"],
        "ratio": best["official"] / best["ours"],
        "spread": off_itself(best["ours"], best["ours again"], *spreads),
        "difference": float(difference),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    print(f"{'':32}{'ours ms':>10}{'official ms':>13}{'official/ours':>15}{'spread':>8}"
          f"{'difference':>12}")  # fmt: skip
    for case, (make, shape) in CASES.items():
        model, x = make(), torch.rand(shape)
        for anchor, unsure_below in (("sure", 0.0), ("unsure", 1.1)):
            found = compared(
                model, x, n_views=options.views, unsure_below=unsure_below, rounds=options.rounds
            )
            rows.append({"case": case, "anchor": anchor, **found})
            print(f"{case + ', ' + anchor:32}{found['ours_ms']:10.1f}{found['official_ms']:13.1f}"
                  f"{found['ratio']:15.1f}{found['spread']:8.2f}{found['difference']:12.1e}",
                  flush=True)  # fmt: skip
    write("cotta", rows, options.json)


if __name__ == "__main__":
    main()
