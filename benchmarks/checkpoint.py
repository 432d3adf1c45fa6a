"""What checkpoints cost: a run with them over one without, side by side, and one save by itself.

    python benchmarks/checkpoint.py [--rounds 5] [--json DIR]

Wall seconds, since a save waits for the disk. The runs are over 75 batches of 64 digits with the
small CNN, saved every 15: five saves in a run that takes seconds, far more often than anyone would.
Saves are also taken by themselves, with a ResNet-50 after a step (batch 8, 64x64).
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from steps import made
from timing import write

from ctta.data.digits import DigitsC
from ctta.models.digits import TinyCNN
from ctta.models.source import SourceModel, WrappedModel
from ctta.online.loop import run_online
from ctta.online.resume import ROWS, STATE, Saver
from ctta.online.trace import TraceWriter
from ctta.streams.stream import CorruptionStream

METHODS = ("source", "tent", "cotta", "rmt")
EVERY = 15


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(name: str, stream: CorruptionStream, folder: Path, every: int | None) -> float:
    """Seconds of one run; with ``every``, saved into ``folder``."""
    method = made(name, TinyCNN(), torch.rand(64, 3, 32, 32))
    shutil.rmtree(folder, ignore_errors=True)
    return seconds(lambda: run_online(method, stream, checkpoint=folder, checkpoint_every=every))


def save(name: str, model: SourceModel, folder: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds and MB of a save; the first, which hashes the start, apart."""
    x = torch.rand(8, 3, 64, 64)
    method = made(name, model, x)
    method(x)
    stream = CorruptionStream(DigitsC(n_images=64), batch_size=64)
    saver = Saver(folder, 1, method=method, stream=stream, device=torch.device("cpu"), stop=None)
    with TraceWriter(stream, folder / ROWS) as writer, saver:
        times = [seconds(lambda: saver.save(folder, method, writer)) for _ in range(rounds + 1)]
    return {
        "method": name,
        "first_save_ms": 1e3 * times[0],
        "save_ms": 1e3 * sorted(times[1:])[rounds // 2],
        "mb": (folder / STATE).stat().st_size / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    stream = CorruptionStream(DigitsC(n_images=320), batch_size=64)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "checkpoint"
        print(f"{len(stream)} batches, saved every {EVERY}")
        print(f"{'method':10}{'plain s':>9}{'saved s':>9}{'ms a save':>11}{'overhead %':>12}")
        for name in METHODS:
            times: dict[int | None, list[float]] = {None: [], EVERY: []}
            for _ in range(options.rounds + 1):
                for every, own in times.items():
                    own.append(run(name, stream, folder, every))
            plain, saved = (sorted(own[1:])[options.rounds // 2] for own in times.values())
            ms = 1e3 * (saved - plain) / (len(stream) // EVERY)
            row = {"method": name, "plain_s": plain, "saved_s": saved, "save_ms": ms}
            rows.append(row | {"overhead_pct": 100 * (saved / plain - 1)})
            print(f"{name:10}{plain:9.2f}{saved:9.2f}{ms:11.1f}{100 * (saved / plain - 1):12.1f}")
        print("\nResNet-50")
        print(f"{'method':10}{'first ms':>10}{'save ms':>9}{'MB':>7}{'every 60s, %':>14}")
        for name in METHODS:
            network = torchvision.models.resnet50(weights=None, num_classes=10)
            model = WrappedModel(network, name="resnet50", image_shape=(3, 64, 64))
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            found = save(name, model, folder, options.rounds)
            share = found["save_ms"] / 60e3 * 100
            rows.append(found | {"every_60s_pct": share})
            print(f"{name:10}{found['first_save_ms']:10.0f}{found['save_ms']:9.0f}"
                  f"{found['mb']:7.1f}{share:14.2f}")  # fmt: skip
    write("checkpoint", rows, options.json)


if __name__ == "__main__":
    main()
