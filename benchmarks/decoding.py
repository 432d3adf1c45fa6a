"""Does decoding ImageNet-C keep up with the model? 224x224 JPEG files, on two cores.

    python benchmarks/decoding.py [--batches 4] [--batch 16] [--rounds 2] [--json DIR]

First images a second of the decoding alone, by the number of workers. Then whole runs through the
loop (ResNet-50, one forward a batch: no method is faster), all in turn, round after round: wall
seconds of a batch, the share of them in which the loop waited for images, and the ratio to a run
whose images are in memory. Every run must give the same trace. Exit status 1 if with workers and
prefetch the loop waits for more than 5 % of the time.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timing import write
from timm.data import ImageNetInfo
from torchvision.models import resnet50

from ctta.data.imagenet import ImageNetC
from ctta.methods.source import Source
from ctta.models.source import WrappedModel
from ctta.online.loop import run_online
from ctta.online.trace import Trace
from ctta.streams.stream import Batch, CorruptionStream

MOST_WAITING_PCT = 5.0
CORES = 2
# Name of a run: workers, prefetch, threads of the model.
RUNS = {
    "in memory, 1 thread": (1, 0, 1),
    "2 workers, prefetch 0": (2, 0, 1),
    "2 workers, prefetch 2": (2, 2, 1),
    "in memory, 2 threads": (1, 0, 2),
    "2 workers, prefetch 2, 2 threads": (2, 2, 2),
}


def images(root: Path, n_images: int) -> Path:
    """ImageNet-C's gaussian_noise-5 with as many files, and their list; noise decodes slowest."""
    generator = np.random.default_rng(0)
    wnids, lines = sorted(ImageNetInfo("imagenet-1k").label_names()), []
    for number in range(n_images):
        line = f"{wnids[number % 1000]}/ILSVRC2012_val_{number:08}.JPEG"
        path = root / "ImageNet-C" / "gaussian_noise" / "5" / line
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth = Image.fromarray(generator.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        pixels = np.asarray(smooth.resize((224, 224), Image.Resampling.BICUBIC)) / 255
        noisy = np.clip(pixels + generator.normal(0, 0.38, pixels.shape), 0, 1)
        Image.fromarray((255 * noisy).astype(np.uint8)).save(path, "JPEG", quality=85)
        lines.append(line)
    (root / "list.txt").write_text("\n".join(lines))
    return root


class InMemory(CorruptionStream):
    """The same stream with its batches made beforehand."""

    def __init__(self, data: ImageNetC, **more: Any) -> None:
        super().__init__(data, **more)
        self.made = list(super().batches())

    def batches(self, start: int = 0) -> Iterator[Batch]:
        return iter(self.made[start:])


def data(root: Path, workers: int) -> ImageNetC:
    """The files."""
    return ImageNetC(
        root=root,
        subset="own",
        list_file=root / "list.txt",
        corruptions=["gaussian_noise"],
        workers=workers,
    )


def decoded(root: Path, workers: int, n_images: int, size: int) -> float:
    """Images a second, wall clock, of the decoding alone."""
    files = data(root, workers)
    start = time.perf_counter()
    for first in range(0, n_images, size):
        files.images("gaussian_noise", 5, np.arange(first, first + size))
    return n_images / (time.perf_counter() - start)


def run(name: str, root: Path, size: int, device: str) -> tuple[float, float, Trace]:
    """Wall seconds a batch, the share of waiting in %, and the trace."""
    workers, prefetch, threads = RUNS[name]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = resnet50(weights=None).eval()
    model = WrappedModel(network, name="resnet50", image_shape=(3, 224, 224)).to(device)
    kind = InMemory if name.startswith("in memory") else CorruptionStream
    stream = kind(data(root, workers), batch_size=size)
    start = time.perf_counter()
    trace = run_online(Source(model), stream, device=device, prefetch=prefetch)
    seconds = time.perf_counter() - start
    # The first batch cannot be made while another is in use.
    waiting = float(trace.batches["data_seconds"][1:].sum())
    working = float(trace.batches["adapt_seconds"][1:].sum())
    return seconds / len(stream), 100 * waiting / (waiting + working), trace


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    n_images = options.batches * options.batch
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = images(Path(folder), n_images)
        size = sum(p.stat().st_size for p in root.rglob("*.JPEG")) / n_images
        print(f"{n_images} files of {size / 1024:.0f} KiB, {CORES} cores, model on {device}")
        for workers in (1, 2, 4):
            rate = max(decoded(root, workers, n_images, options.batch) for _ in range(3))
            print(f"decoding alone, {workers} workers{rate:10.0f} images/s")
            rows.append({"work": "decoding", "workers": workers, "images_per_second": rate})
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in RUNS}
        traces = {}
        for _ in range(options.rounds):
            for name, own in found.items():
                seconds, waiting, trace = run(name, root, options.batch, device)
                own.append((seconds, waiting))
                traces[name] = RUNS[name][2], trace.sha256()
        assert len(set(traces.values())) == 2, "runs differ by more than the model's threads"
    print(f"{'':34}{'s/batch':>9}{'spread':>8}{'images/s':>10}{'waits %':>9}{'ratio':>7}")
    for name, own in found.items():
        seconds, waiting = min(own)
        if name.startswith("in memory"):
            base = seconds
        spread = max(s for s, _ in own) / seconds
        ratio = seconds / base
        rate = options.batch / seconds
        rows.append(
            {"work": name, "seconds": seconds, "spread": spread, "ratio": ratio}
            | {"waiting_pct": waiting, "images_per_second": rate}
        )
        print(f"{name:34}{seconds:9.3f}{spread:8.2f}{rate:10.1f}{waiting:9.2f}{ratio:7.2f}")
    write("decoding", rows, options.json)
    worst = max(r["waiting_pct"] for r in rows if "2 workers, prefetch 2" in r["work"])
    return 1 if worst > MOST_WAITING_PCT else 0


if __name__ == "__main__":
    sys.exit(main())
