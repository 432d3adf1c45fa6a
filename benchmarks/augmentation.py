"""Time of the views of a batch, against torchvision's operations on whole padded images.

    python benchmarks/augmentation.py [--views 32] [--rounds 3] [--json DIR]

Both sides apply the same draws, take turns, and run in one thread; "largest" is the largest
difference between their pixels. The time to draw the random numbers is added to both. "spread" is
how far ours is off itself, done twice for each view; a bar that is no further from the ratio is not
resolved.
"""

import argparse
import itertools
import time
from pathlib import Path

import torch
from timing import off_itself, verdict, write

from ctta.parts.augment import Augmentation, apply_view
from ctta.parts.view_stages import view_stages

SHAPES = ((200, 3, 32, 32), (64, 3, 32, 32), (1, 3, 32, 32), (16, 3, 224, 224), (1, 3, 384, 384))


def torchvision_view(x, draws):
    *_, (_, view) = view_stages(x, draws)
    return view


def compare(shape: tuple[int, ...], n_views: int) -> tuple[float, float, float, float]:
    """Seconds for ``n_views`` views, torchvision's, ours and ours again, and the largest
    difference.
    """
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    chain = Augmentation(torch.Generator().manual_seed(1))
    theirs = ours = again = largest = 0.0
    for _ in range(n_views):
        times = [time.perf_counter()]
        draws = chain.draw(x)
        times.append(time.perf_counter())
        slow = torchvision_view(x, draws)
        times.append(time.perf_counter())
        quick = apply_view(x, draws)
        times.append(time.perf_counter())
        apply_view(x, draws)
        times.append(time.perf_counter())
        drawing, one, *both = (b - a for a, b in itertools.pairwise(times))
        theirs, ours, again = (
            theirs + drawing + one,
            ours + drawing + both[0],
            again + drawing + both[1],
        )
        largest = max(largest, float((slow - quick).abs().max()))
    return theirs, ours, again, largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"{'batch':>16}{'views':>7}{'torchvision s':>15}{'ours s':>9}{'ratio':>7}{'spread':>8}"
          f"{'largest':>10}{'bar':>5}  verdict")  # fmt: skip
    for shape in SHAPES:
        n_views = options.views if shape[-1] < 200 else max(1, options.views // 8)
        compare(shape, 1)  # pays for what is done once
        rounds = zip(*(compare(shape, n_views) for _ in range(options.rounds)), strict=True)
        theirs, ours, again, differences = (sorted(column) for column in rounds)
        ratio, middle = theirs[0] / ours[0], options.rounds // 2
        medians = ours[middle] / ours[0], theirs[middle] / theirs[0]
        spread = off_itself(ours[0], again[0], *medians)
        bar = 3.0 if shape == SHAPES[0] else None
        met = verdict(1 / ratio, bar and 1 / bar, spread)
        rows.append({
            "batch": list(shape), "views": n_views, "torchvision_seconds": theirs[0],
            "ours_seconds": ours[0], "torchvision_over_ours": ratio, "spread": spread,
            "largest_difference": differences[-1], "bar": bar, "verdict": met,
        })  # fmt: skip
        print(
            f"{'x'.join(map(str, shape)):>16}{n_views:>7}{theirs[0]:>15.2f}{ours[0]:>9.3f}"
            f"{ratio:>7.1f}{spread:>8.2f}{differences[-1]:>10.1e}{bar or '':>5}  {met}".rstrip()
        )
    write("augmentation", rows, options.json)


if __name__ == "__main__":
    main()
