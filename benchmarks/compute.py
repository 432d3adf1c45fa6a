"""What the keys of the group `compute` do to the time of a step and to the error.

    python benchmarks/compute.py [--rounds 2] [--images 128] [--methods ...] [--json DIR]

Whole runs over the embedded stream (15 corruptions, batch 64), all variants of a method in turn,
round after round: the median step in wall-clock milliseconds of the best round, its ratio to the
first variant, and the mean error in %. The second row is the first variant once more: a ratio that
is not further from 1 than that one's, or than the rounds among themselves, is not resolved.
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from timing import write

from ctta.assets import asset_dir
from ctta.online.trace import Trace
from ctta.results.result import Result
from ctta.results.run import Experiment
from ctta.results.store import RunStore

VARIANTS: dict[str, list[str]] = {
    "float32": [],
    "float32 again": [],
    "bfloat16": ["compute.dtype=bfloat16"],
    "channels_last": ["compute.channels_last=true"],
    "compile": ["compute.compile=true"],
    "2 threads": ["compute.threads=2"],
    "prefetch": ["compute.prefetch=2"],
}
DEVICE_ONLY = {  # the CPU has no graphs, and is slow in float16
    "float16": ["compute.dtype=float16"],
    "CUDA graphs": ["compute.cuda_graph=true"],
}
VIT_ONLY = {"memory 2 MiB": ["compute.memory_mib=2"]}  # needs a network without batch norm


def run(overrides: list[str]) -> tuple[Result, Trace]:
    """The record and the trace of one run, in a folder that is thrown away."""
    with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
        composed = compose("config", overrides=["progress=false", *overrides])
    chosen = dict(override.split("=") for override in overrides)
    names = {"dataset": "digits_c", "stream": "continual"}
    names |= {group: chosen[group] for group in ("model", "method")}
    config = {**OmegaConf.to_container(composed, resolve=True), "names": names}
    with tempfile.TemporaryDirectory() as folder:
        result = Experiment(config).run(RunStore(Path(folder)))
        (trace,) = Path(folder).glob("*/trace.npz")
        return result, Trace.load(trace)


def compared(variants: dict[str, list[str]], rounds: int) -> dict[str, dict[str, float | bool]]:
    """Variant -> milliseconds a step, their spread, error and costs."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    found: dict[str, dict[str, float | bool]] = {}
    for _ in range(rounds):
        for name, overrides in variants.items():
            result, trace = run(overrides)
            assert result.costs is not None
            times[name].append(1e3 * float(np.median(trace.batches["adapt_seconds"])))
            found[name] = {
                "error_pct": result.metrics["error_pct"],
                "exclusive": bool(result.costs.exclusive),
            }
    first = min(next(iter(times.values())))
    for name, own in times.items():
        best = min(own)
        found[name] |= {"ms": best, "spread": max(own) / best, "ratio": best / first}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--methods", nargs="+", default=["source", "tent", "cotta"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.getLogger("ctta").setLevel(logging.WARNING)
    rows = []
    for model in ("digits_cnn", "digits_vit"):
        variants = VARIANTS | (VIT_ONLY if model == "digits_vit" else {})
        variants |= DEVICE_ONLY if torch.cuda.is_available() else {}
        for method in options.methods:
            shared = [f"model={model}", f"method={method}", f"dataset.n_images={options.images}"]
            own = {name: [*shared, *more] for name, more in variants.items()}
            print(f"\n{method}, {model}")
            print(f"{'':15}{'step ms':>9}{'spread':>8}{'ratio':>7}{'error %':>9}")
            for name, found in compared(own, options.rounds).items():
                rows.append({"model": model, "method": method, "variant": name, **found})
                marked = "" if found["exclusive"] else "  time not exclusive"
                print(f"{name:15}{found['ms']:9.2f}{found['spread']:8.2f}{found['ratio']:7.2f}"
                      f"{found['error_pct']:9.2f}{marked}", flush=True)  # fmt: skip
    write("compute", rows, options.json)


if __name__ == "__main__":
    main()
