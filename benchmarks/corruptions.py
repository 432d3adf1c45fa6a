"""Time of every corruption, per image, against our gaussian noise and the imagecorruptions package.

    python benchmarks/corruptions.py [--batch 64] [--rounds 5] [--json DIR]

`make bench` installs what is needed. Where the package cannot be imported, or one of its functions
fails, the reason is said and the sum leaves it out. It is asked for one image at a time, the only
way it works. One thread on both sides.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from timing import write

from ctta.data.corruptions import ALL, corrupt

SEVERITIES = (1, 3, 5)


def images(side: int, n: int) -> torch.Tensor:
    """Random crops of scikit-learn's two photographs."""
    rng = np.random.default_rng(0)
    pictures = load_sample_images().images
    crops = []
    for i in range(n):
        top, left = rng.integers(0, 427 - side), rng.integers(0, 640 - side)
        crops.append(pictures[i % 2][top : top + side, left : left + side])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def best_seconds(work: Callable[[], object], rounds: int) -> float:
    """The shortest of several runs, after one that pays for compilation and caches."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def ours(name: str, x: torch.Tensor, rounds: int) -> float:
    """Microseconds an image, mean over severities."""
    ids = torch.arange(len(x))

    def run(severity: int) -> Callable[[], object]:
        return lambda: corrupt(x, name, severity, image_ids=ids)

    return float(np.mean([best_seconds(run(s), rounds) for s in SEVERITIES])) / len(x) * 1e6


def theirs(name: str, x: torch.Tensor, rounds: int) -> float:
    """The same for the package.

    Raises:
        Exception: whatever its functions raise on current versions of what they use.
    """
    from imagecorruptions import corrupt as other

    arrays = list(x.permute(0, 2, 3, 1).contiguous().numpy()[: min(len(x), 8)])

    def run(severity: int) -> Callable[[], object]:
        return lambda: [other(a, severity=severity, corruption_name=name) for a in arrays]

    return float(np.mean([best_seconds(run(s), rounds) for s in SEVERITIES])) / len(arrays) * 1e6


def package_is_absent() -> str:
    """Why the package cannot be imported, in words; empty where it can."""
    try:
        import imagecorruptions  # noqa: F401
    except ImportError as error:
        return f"imagecorruptions cannot be imported ({error}): its columns are empty; `make bench`"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 224])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    absent = package_is_absent()
    print(absent or "both sides are timed here")
    rows: list[dict[str, object]] = []
    for side in options.sides:
        x = images(side, options.batch if side == 32 else max(1, options.batch // 8))
        unit = ours(ALL[0], x, options.rounds)
        sums = [0.0, 0.0]
        print(f"\n{side}x{side}, batch {len(x)}: microseconds an image")
        print(f"{'corruption':20}{'ours':>10}{'/gaussian':>11}{'package':>11}{'package/ours':>14}")
        for name in ALL:
            own = ours(name, x, options.rounds)
            line = f"{name:20}{own:10.1f}{own / unit:11.1f}"
            row = {"side": side, "corruption": name, "ours_us": own, "over_gaussian": own / unit}
            rows.append(row)
            if absent:
                print(line)
                continue
            try:
                other = theirs(name, x, options.rounds)
            except Exception as error:
                print(
                    f"{line}    fails there: {type(error).__name__}: {str(error).splitlines()[0]}"
                )
                continue
            sums[0] += own
            sums[1] += other
            row["package_us"] = other
            print(f"{line}{other:11.1f}{other / own:14.1f}")
        if sums[0]:
            print(f"{'sum where both run':20}{sums[0]:10.0f}{'':11}{sums[1]:11.0f}"
                  f"{sums[1] / sums[0]:14.1f}")  # fmt: skip
    write("corruptions", rows, options.json)


if __name__ == "__main__":
    main()
