"""Peak memory of AdaNPC beside the rows of its memory themselves.

    python benchmarks/memory.py [--rows 150000] [--features 2048] [--limit 256] [--json DIR]

Two fresh processes, one that builds the memory and keeps it in a cache, one that reads it from
there; each then adapts to a batch of 64, predicts, and saves a checkpoint. Exit status 1 if one
needs more than the rows and ``--limit`` MiB.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from timing import write
from torch import nn

from ctta.data.source import SourceData
from ctta.methods.adanpc import AdaNPC
from ctta.models.source import WrappedModel
from ctta.online.checkpoint import save_checkpoint
from ctta.results.artefacts import prepare

MIB = 2**20


def peak_mib() -> float:
    """Of this program; getrusage would count the one that started it as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM; expected Linux")


def work(n_rows: int, n_features: int, cache: Path) -> list[tuple[str, float]]:
    """(step, peak in MiB so far), from the preparation to the checkpoint."""
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, n_features), nn.ReLU())
    module.append(nn.Linear(n_features, 10))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model = WrappedModel(module.eval(), name="wide", image_shape=(3, 2, 2))
    images = torch.rand(n_rows, 3, 2, 2, generator=generator)
    labels = torch.randint(0, 10, (n_rows,), generator=generator)
    source = SourceData(images, labels, identity=f"{n_rows} rows")
    method = AdaNPC(
        model,
        n_neighbors=100,
        temperature=0.1,
        min_confidence=0.0,
        confidence="vote",
        score_floor=1e-5,
        random_first_row=True,
    )
    steps = []
    prepare(method, source, weights="random", cache=cache)
    steps.append(("prepare", peak_mib()))
    x = torch.rand(64, 3, 2, 2, generator=generator)
    method(x)
    steps.append(("adapt", peak_mib()))
    method.predict(x)
    steps.append(("predict", peak_mib()))
    save_checkpoint(cache / "state.safetensors", method.state_dict())
    steps.append(("checkpoint", peak_mib()))
    method.reset()
    steps.append(("reset", peak_mib()))
    assert method.memory_size == n_rows + 1
    return steps


def measured(n_rows: int, n_features: int, cache: Path) -> None:
    """In a process of its own: print the peaks, less what a small memory takes."""
    with tempfile.TemporaryDirectory() as other:
        work(1000, 64, Path(other))
    before = peak_mib()
    for step, peak in work(n_rows, n_features, cache):
        print(step, peak - before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--limit", type=float, default=256)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cache:
        measured(options.rows, options.features, options.cache)
        return 0
    size = options.rows * options.features * 4 / MIB
    print(f"{options.rows} x {options.features} float32 rows take {size:.0f} MiB; beside them")
    worst, rows = 0.0, []
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("built", "read"):
            command = [sys.executable, __file__, "--cache", cache]
            command += ["--rows", str(options.rows), "--features", str(options.features)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            for line in done.stdout.splitlines():
                step, peak = line.split()
                beside = float(peak) - size
                worst = max(worst, beside)
                rows.append({"memory": kind, "step": step, "beside_mib": beside})
                print(f"{kind:8}{step:12}{beside:8.0f} MiB")
    print(f"{'most':20}{worst:8.0f} MiB, {options.limit:.0f} allowed")
    write("memory", rows, options.json)
    return 1 if worst > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
