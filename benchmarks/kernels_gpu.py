"""The kernels on a CUDA device: achieved share of a copy's bandwidth, and against official forms.

    python benchmarks/kernels_gpu.py [--json DIR] [--rounds 15]

Everything is measured side by side in one run, on parameters of ResNet-50 and ViT-B/16 shapes.
Device times are those of replayed CUDA graphs, so that no launch is waited for; `eager` is the time
of the same call from Python, and official forms (per-tensor loops, masks drawn on the host, a sort
for the quantile) are timed as they run, with the host's part. A floor is the bytes that a step must
move over the bandwidth of a device copy; the copy against itself tells what a ratio can resolve.
`B a parameter` is the memory that a call takes beside its tensors, tables that stay included. Whole
steps of CoTTA are timed with the official form of their update, and with their forwards as graphs.
"""

import argparse
import contextvars
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from timing import verdict, write
from torch import Tensor

from ctta import kernels
from ctta.kernels import Draw, gpu_tables
from ctta.methods.cotta import CoTTA
from ctta.models.graphs import replaying
from ctta.models.source import WrappedModel
from ctta.parts.restore import Weights

DEVICE = torch.device("cuda")
MODELS = {"ResNet-50": torchvision.models.resnet50, "ViT-B/16": torchvision.models.vit_b_16}
SECTOR = 8  # float32 elements: the least that memory moves
MEMORY_BAR = 2.0  # bytes a parameter
RESTORE_PROB, FISHER_LEVEL, DECAY, SCALE = 0.01, 0.03, 0.999, 0.05
REPLAYS = 20

Call = Callable[[], Any]


def touched(prob: float) -> float:
    """Share of the sectors in which an element is chosen."""
    return 1 - (1 - prob) ** SECTOR


class Parameters:
    """Teacher, student, start, gradients, prior mean and weights in the shapes of a model."""

    def __init__(self, name: str) -> None:
        with torch.device("meta"):
            shapes = [p.shape for p in MODELS[name]().parameters()]
        self.n = sum(shape.numel() for shape in shapes)
        torch.manual_seed(0)
        self.teacher, self.student, self.start, self.gradients, self.mean, self.weights = (
            [torch.randn(shape, device=DEVICE) for shape in shapes] for _ in range(6)
        )
        self.flat, self.copy = torch.randn(2, self.n, device=DEVICE)

    def copied(self) -> None:
        self.copy.copy_(self.flat)

    def ema(self) -> None:
        kernels.ema_(self.teacher, self.student, DECAY)

    def restore(self) -> None:
        kernels.restore_(self.student, self.start, Draw(RESTORE_PROB, 0, 0))

    def ema_restore(self) -> None:
        draw = Draw(RESTORE_PROB, 0, 0)
        kernels.ema_restore_(self.teacher, self.student, self.start, DECAY, draw)

    def quantile(self) -> Tensor:
        return kernels.squared_quantile(self.gradients, self.student, FISHER_LEVEL)

    def fisher(self) -> None:
        own, threshold = self.gradients, self.quantile()
        kernels.fisher_restore_(self.teacher, self.student, self.start, own, threshold, DECAY)

    def prior(self) -> None:
        kernels.quadratic_prior_(
            self.gradients, self.student, self.mean, self.weights, SCALE * 1e-9
        )

    def official_ema(self) -> None:
        official_ema(self.teacher, self.student)

    def official_restore(self) -> None:
        official_restore(self.student, self.start, RESTORE_PROB)

    def official_ema_restore(self) -> None:
        self.official_ema()
        self.official_restore()

    def official_quantile(self) -> Tensor:
        squares = torch.cat([g.clone().pow(2).flatten() for g in self.gradients])
        position = FISHER_LEVEL * (self.n - 1)
        low = math.floor(position)
        ordered = squares.sort().values
        return ordered[low] + (position - low) * (ordered[low + 1] - ordered[low])

    def official_fisher(self) -> None:
        threshold = self.official_quantile()
        self.official_ema()
        for mine, source, gradient in zip(self.student, self.start, self.gradients, strict=True):
            mask = (gradient.pow(2) < threshold).float()
            mine.copy_(source * mask + mine * (1.0 - mask))

    def official_prior(self) -> None:
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in self.student]
            groups = zip(leaves, self.mean, self.weights, strict=True)
            loss = sum((w * (p - m).pow(2)).sum() for p, m, w in groups)
            found = torch.autograd.grad(SCALE * 1e-9 * loss, leaves)
        for own, more in zip(self.gradients, found, strict=True):
            own.add_(more)


def official_ema(teacher: list[Tensor], student: list[Tensor]) -> None:
    """Tensor by tensor, out of place and copied back."""
    for mine, theirs in zip(teacher, student, strict=True):
        mine.copy_(DECAY * mine + (1 - DECAY) * theirs)


def official_restore(student: list[Tensor], start: list[Tensor], prob: float) -> None:
    """Masks of uniforms drawn on the host, applied as a sum of products."""
    for mine, source in zip(student, start, strict=True):
        mask = (torch.rand(mine.shape) < prob).float().to(mine.device)
        mine.copy_(source * mask + mine * (1.0 - mask))


# Name -> bytes a parameter that it must move, and the bar on (time / floor) for ViT-B/16, if any.
# The quantile's floor is one read of the gradients, though its digits need more.
FISHER_BYTES = 4 + 16 + 8 * touched(FISHER_LEVEL)
UPDATES: dict[str, tuple[float, float | None]] = {
    "ema": (12, None),
    "restore": (8 * touched(RESTORE_PROB), None),
    "ema_restore": (12 + 8 * touched(RESTORE_PROB), 1.25),
    "quantile": (4, None),
    "fisher": (FISHER_BYTES, 1.5),
    "prior": (20, None),
}


def replayed(call: Call) -> Call:
    """The call as a graph; it has run before."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def device_seconds(call: Call, times: int = REPLAYS) -> float:
    """Seconds a call between two events around many."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(times):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / times


def wall_seconds(call: Call) -> float:
    """Seconds of one call, the device's work included."""
    torch.cuda.synchronize()
    begin = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def memory_bytes(call: Call) -> int:
    """The most device memory that a call takes beside what was there, tables that stay included."""
    gpu_tables.forget()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def interleaved(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round."""
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(call())
    return found


def model_rows(name: str, rounds: int) -> list[dict[str, Any]]:
    """One row for each update on a model's shapes."""
    own = Parameters(name)
    for update in UPDATES:
        getattr(own, update)()  # compiles
    memory = {update: memory_bytes(getattr(own, update)) / own.n for update in UPDATES}
    copies = {"copy": replayed(own.copied), "copy again": replayed(own.copied)}
    ours = {update: replayed(getattr(own, update)) for update in UPDATES}
    timed = interleaved(
        {key: (lambda c=call: device_seconds(c)) for key, call in {**copies, **ours}.items()},
        rounds,
    )
    eager = interleaved(
        {u: (lambda u=u: device_seconds(getattr(own, u))) for u in UPDATES}, max(3, rounds // 3)
    )
    official = interleaved(
        {u: (lambda u=u: wall_seconds(getattr(own, f"official_{u}"))) for u in UPDATES}, 3
    )
    pairs = zip(timed["copy"], timed["copy again"], strict=True)
    spread = max(abs(a / b - 1) for a, b in pairs)
    copy_seconds = statistics.median(timed["copy"] + timed["copy again"])
    bandwidth = 8 * own.n / copy_seconds
    rows = []
    for update, (n_bytes, bar) in UPDATES.items():
        seconds = statistics.median(timed[update])
        floor = n_bytes * own.n / bandwidth
        bar = bar if name == "ViT-B/16" else None
        rows.append(
            {
                "model": name,
                "update": update,
                "parameters": own.n,
                "microseconds": seconds * 1e6,
                "microseconds_eager": statistics.median(eager[update]) * 1e6,
                "microseconds_official": statistics.median(official[update]) * 1e6,
                "times_official": statistics.median(official[update]) / seconds,
                "bytes_a_parameter": n_bytes,
                "times_floor": seconds / floor,
                "bar": bar,
                "verdict": verdict(seconds / floor, bar, spread),
                "memory_bytes_a_parameter": memory[update],
                "memory_bar": MEMORY_BAR,
                "memory_verdict": verdict(memory[update], MEMORY_BAR, 0),
                "copy_gb_a_second": bandwidth / 1e9,
                "copy_spread": spread,
            }
        )
    return rows


def cotta_row(rounds: int, *, unsure: bool) -> dict[str, Any]:
    """A whole step of the ImageNet variant, with and without the official form of its update."""
    torch.manual_seed(0)
    model = WrappedModel(MODELS["ResNet-50"](), name="resnet50", image_shape=(3, 224, 224))
    x = torch.rand(64, 3, 224, 224, device=DEVICE)
    steps: dict[str, Call] = {}
    for form in ("ours", "official", "graphs", "ours again"):
        method = CoTTA(
            model.to(DEVICE),
            optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True},
            ema_decay=DECAY,
            n_views=32,
            unsure_below=2.0 if unsure else -1.0,
            restore_prob=0.001,
            symmetric_loss=True,
        )
        if form == "official":
            method.restore.after_ema = official_update(method)  # type: ignore[method-assign]
        context = contextvars.copy_context()
        if form == "graphs":
            context.run(replaying().__enter__)  # type: ignore[attr-defined]
        steps[form] = lambda m=method, c=context: wall_seconds(lambda: c.run(m.adapt, x))
    timed = interleaved(steps, rounds)
    pairs = zip(timed["ours"], timed["ours again"], strict=True)
    spread = max(abs(a / b - 1) for a, b in pairs)
    ours, official, graphs = (statistics.median(timed[f]) for f in ("ours", "official", "graphs"))
    bar = None if unsure else 4.0
    return {
        "step": "CoTTA, ResNet-50, batch 64, " + ("32 views" if unsure else "plain view"),
        "milliseconds": ours * 1e3,
        "milliseconds_official": official * 1e3,
        "milliseconds_graphs": graphs * 1e3,
        "times_faster": official / ours,
        "bar": bar,
        "verdict": verdict(1 / (official / ours), None if bar is None else 1 / bar, spread),
        "spread": spread,
    }


def official_update(method: CoTTA) -> Callable[..., None]:
    """The moving average and the restoration as a straight form of the official code does them."""

    @torch.no_grad()
    def update(teacher: Weights, student: Weights, decay: float) -> None:
        official_ema(list(teacher.values()), list(student.values()))
        start = method.restore.start
        official_restore(
            [student[name] for name in start], list(start.values()), method.restore.prob
        )

    return update


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if not torch.cuda.is_available() or not kernels.has_cupy():
        raise SystemExit("expected a CUDA device and CuPy: pip install 'ctta[cuda13]' on one")
    import cupy

    rows = [row for name in MODELS for row in model_rows(name, options.rounds)]
    print(f"{'':24}{'us':>9}{'eager':>9}{'official':>11}{'x official':>11}{'x floor':>9}"
          f"{'B a parameter':>15}  bar")  # fmt: skip
    for row in rows:
        bar = f"{row['bar']}: {row['verdict']}" if row["bar"] else ""
        print(
            f"{row['model']:11}{row['update']:13}{row['microseconds']:9.1f}"
            f"{row['microseconds_eager']:9.1f}{row['microseconds_official']:11.1f}"
            f"{row['times_official']:11.1f}{row['times_floor']:9.2f}"
            f"{row['memory_bytes_a_parameter']:15.3f}  {bar}"
        )
    for name in MODELS:
        row = next(r for r in rows if r["model"] == name)
        print(
            f"{name}: a copy moves {row['copy_gb_a_second']:.0f} GB/s, "
            f"against itself within {100 * row['copy_spread']:.1f} %"
        )
    steps = [cotta_row(max(3, options.rounds // 3), unsure=unsure) for unsure in (False, True)]
    for step in steps:
        bar = f"bar {step['bar']}: {step['verdict']}" if step["bar"] else ""
        print(
            f"{step['step']}: {step['milliseconds']:.1f} ms, official update "
            f"{step['milliseconds_official']:.1f} ms, {step['times_faster']:.2f}x  {bar}; "
            f"with graphs {step['milliseconds_graphs']:.1f} ms"
        )
    most = max(row["memory_bytes_a_parameter"] for row in rows)
    met = verdict(most, MEMORY_BAR, 0)
    print(f"memory beside the tensors: at most {most:.3f} B a parameter  bar {MEMORY_BAR}: {met}")
    properties = torch.cuda.get_device_properties(DEVICE)
    device = {
        "cupy": cupy.__version__,
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "device_gib": properties.total_memory / 2**30,
    }
    write("kernels_gpu", [device, *rows, *steps], options.json)


if __name__ == "__main__":
    main()
