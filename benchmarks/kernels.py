"""Parameter updates on the CPU, against a straight transcription of the official forms.

    python benchmarks/kernels.py [--rounds 7] [--json DIR]

One thread, float32, on the parameter shapes of ResNet-50 and ViT-B/16. "copies" is the time over
that of copying the parameters once, which no update can undercut by much. "floor ms" is the lower
bound by memory traffic: how many arrays of parameters an update reads or writes at least, at the
speed of ``a.add_(b)`` on flat arrays, which reads two and writes one, in the same rounds.
"official/floor" is thus the most by which any form of the update could beat the official one here;
a bar above it is out of reach on this machine. "spread" is how far, in the same rounds, ours is off
itself and a median round off the best one; a bar that is no further from "official/ours" is not
resolved.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import official
import torch
import torchvision
from timing import off_itself, side_by_side, verdict, write
from torch import Tensor

from ctta import kernels

DECAY, QUANTILE = 0.999, 0.03
# Reads and writes of all parameters. Sparse restoration touches few of them: no such bound.
STREAMS = {
    "EMA": 3,  # teacher, student; teacher
    "EMA and restore p=0.01": 3,
    "Fisher threshold, mask, restore": 1 + 6,  # gradients; the same, teacher, student, start; two
    "quadratic prior": 5,  # gradients, parameters, mean, weights; gradients
}
BARS = {"EMA": 6.0, "restore p=0.01": 8.0, "Fisher threshold, mask, restore": 25.0}
MODELS = {
    "ResNet-50": torchvision.models.resnet50,
    "ViT-B/16": torchvision.models.vit_b_16,
}


class Parameters:
    """Student, teacher, start and gradients of the shapes of a model, random."""

    def __init__(self, make: Callable[..., torch.nn.Module]) -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.device("meta"):
            shapes = [p.shape for p in make(weights=None).parameters()]

        def drawn() -> list[Tensor]:
            return [torch.randn(shape, generator=generator) for shape in shapes]

        self.student, self.teacher, self.start, self.gradients = (drawn() for _ in range(4))
        self.flat = torch.cat([p.flatten() for p in self.student])


def fisher(p: Parameters) -> None:
    threshold = kernels.squared_quantile(p.gradients, p.student, QUANTILE)
    kernels.fisher_restore_(p.teacher, p.student, p.start, p.gradients, threshold, DECAY)


def works(p: Parameters) -> dict[str, tuple[Callable[[], object], Callable[[], object] | None]]:
    """Name -> ours, official."""
    table: dict[str, tuple[Callable[[], object], Callable[[], object] | None]] = {
        "EMA": (
            lambda: kernels.ema_(p.teacher, p.student, DECAY),
            lambda: official.ema(p.teacher, p.student, DECAY),
        )
    }
    for prob in (0.001, 0.01, 0.1):
        draw = kernels.Draw(prob, 0, 0)
        table[f"restore p={prob}"] = (
            lambda draw=draw: kernels.restore_(p.student, p.start, draw),
            lambda prob=prob: official.restore(p.student, p.start, prob),
        )
    draw = kernels.Draw(0.01, 0, 0)
    table["EMA and restore p=0.01"] = (
        lambda: kernels.ema_restore_(p.teacher, p.student, p.start, DECAY, draw),
        lambda: (
            official.ema(p.teacher, p.student, DECAY),
            official.restore(p.student, p.start, 0.01),
        ),
    )
    # Ours moves the teacher in the same pass; the official form below does not.
    table["Fisher threshold, mask, restore"] = (
        lambda: fisher(p),
        lambda: official.fisher_restore(p.student, p.start, p.gradients, QUANTILE),
    )
    table["quadratic prior"] = (
        lambda: kernels.quadratic_prior_(p.gradients, p.student, p.start, p.teacher, 0.0),
        None,
    )
    return table


def measured(
    p: Parameters,
    own: Callable[[], object],
    straight: Callable[[], object] | None,
    streams: int | None,
    rounds: int,
) -> dict[str, float | None]:
    """Milliseconds and ratios of one update that reads or writes at least ``streams`` arrays."""

    def plain() -> None:
        with kernels.use_reference():
            own()

    other = p.flat.clone()
    sides = {
        "ours": own,
        "ours again": own,
        "copy": lambda: other.copy_(p.flat),
        "add": lambda: other.add_(p.flat),
        "reference": plain,
    }
    sides |= {"official": straight} if straight else {}
    found = side_by_side(sides, rounds=rounds, seldom=("reference", "official"))
    best = {name: work["seconds"] for name, work in found.items()}
    ours, theirs = best["ours"], best.get("official")
    floor = streams / 3 * best["add"] if streams else None
    compared = [found[name]["spread"] for name in ("ours", "official") if name in found]
    return {
        "ours_ms": 1e3 * ours,
        "copies": ours / best["copy"],
        "reference_over_ours": best["reference"] / ours,
        "official_over_ours": theirs / ours if theirs else None,
        "floor_ms": 1e3 * floor if floor else None,
        "official_over_floor": theirs / floor if floor and theirs else None,
        "spread": off_itself(ours, best["ours again"], *compared),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for model, make in MODELS.items():
        p = Parameters(make)
        print(f"\n{model}, {p.flat.numel() / 1e6:.1f} M parameters")
        print(f"{'update':34}{'ours ms':>9}{'copies':>8}{'reference/ours':>16}"
              f"{'official/ours':>15}{'floor ms':>10}{'official/floor':>16}"
              f"{'spread':>8}{'bar':>6}  verdict")  # fmt: skip
        for name, (own, straight) in works(p).items():
            found = measured(p, own, straight, STREAMS.get(name), options.rounds)
            bar = BARS.get(name) if model == "ResNet-50" else None
            met = verdict(1 / (found["official_over_ours"] or 1), bar and 1 / bar, found["spread"])
            rows.append({"model": model, "update": name, **found, "bar": bar, "verdict": met})
            nan = float("nan")
            print(f"{name:34}{found['ours_ms']:9.1f}{found['copies']:8.2f}"
                  f"{found['reference_over_ours']:16.1f}{found['official_over_ours'] or nan:15.1f}"
                  f"{found['floor_ms'] or nan:10.1f}{found['official_over_floor'] or nan:16.1f}"
                  f"{found['spread']:8.2f}{bar or '':>6}  {met}".rstrip())  # fmt: skip
    write("kernels", rows, options.json)


if __name__ == "__main__":
    main()
