"""What a method's step costs beside the network: everything but forwards, backwards, the optimizer,
augmentation and the search of neighbours.

    python benchmarks/steps.py [--rounds 5] [--json DIR]

Exclusive process seconds by hooks, one thread, on ResNet-50 (random weights, batch 8, 64x64; bar:
10 % of the step for methods that move all parameters, 3 % for the others) and on the small CNN of
the digits (batch 64, ten times the rounds; bar: 1 ms a step). Values are those of
configs/tuned/digits_c.

Every round measures two steps: "spread" is by how much the best of the first and of the second ones
differ, or a median round from the best one, whichever is more; a bar within that is not resolved.

"operators" is the part of the overhead that no Python around them can avoid: the torch operators
that a step runs beside the network (those of the losses, mostly), called once more, one after the
other, with their arguments at hand; autograd takes down what it took down in the step.
"hooks" is what the measurement itself costs, in a step that does nothing.
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torchvision
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from timing import off_itself, verdict, write
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ctta.assets import asset_dir
from ctta.build import build
from ctta.data.source import SourceData
from ctta.methods.base import Method
from ctta.models.digits import TinyCNN
from ctta.models.source import SourceModel, WrappedModel
from ctta.parts import affinity
from ctta.parts.augment import Augmentation
from ctta.parts.destroy import Shuffle
from ctta.parts.memory import FeatureMemory

MOVES_ALL = ("cotta", "petal", "psmt", "vida")
SMALL_ROUNDS = 10  # of the small CNN, to one of the large network
SHORT = {  # what is done before the stream is not measured
    "rmt": ["method.warmup_steps=1", "method.source_batch_size=8"],
    "vida": ["method.warmup_epochs=1"],
    "petal": ["method.swag_epochs=2"],
}


class Stopwatch:
    """Process seconds inside of what it was put around, not counted twice where these nest."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, with its time taken."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.process_time() - start

        return timed


@contextlib.contextmanager
def watched(watch: Stopwatch, method: Method) -> Iterator[None]:
    """Take the time of all that a step may cost."""
    places: list[tuple[Any, str]] = [
        (SourceModel, "__call__"),
        (SourceModel, "features_and_logits"),
        (Tensor, "backward"),
        (torch.autograd, "grad"),
        (Augmentation, "__call__"),
        (Shuffle, "__call__"),
        (FeatureMemory, "nearest"),
    ]
    owner = method.method if hasattr(method, "method") else method
    if hasattr(owner, "optimizer"):
        places += [(type(owner.optimizer), name) for name in ("step", "zero_grad")]
    if hasattr(owner, "projector"):
        places.append((owner.projector, "forward"))  # a network that RMT trains as well
    searches = {name: watch.around(search) for name, search in affinity.AFFINITIES.items()}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(affinity.AFFINITIES, searches))
        for place, name in places:
            function = watch.around(getattr(place, name))
            stack.enter_context(mock.patch.object(place, name, function))
        yield


def resnet50() -> SourceModel:
    """With ten classes: RMT needs images of each."""
    network = torchvision.models.resnet50(weights=None, num_classes=10)
    return WrappedModel(network, name="resnet50", image_shape=(3, 64, 64))


def made(name: str, model: SourceModel, x: Tensor) -> Method:
    """The method, prepared on a few random images."""
    with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
        overrides = [f"method={name}", "dataset=digits_c", *SHORT.get(name, [])]
        composed = compose("config", overrides=overrides)
    node = OmegaConf.to_container(composed.method, resolve=True)
    method = build(node, "method", model=model, seed=0)
    if method.uses_source_data:
        images = x.repeat(3, 1, 1, 1)
        method.prepare(SourceData(images, torch.arange(len(images)) % 10, identity="random"))
    return method


class Operators(TorchDispatchMode):
    """Takes down the operators that run outside of what a stopwatch is put around, each with
    whether autograd was on.
    """

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self.watch, self.calls = watch, list[tuple[bool, Callable[[], Any]]]()

    def __torch_dispatch__(
        self,
        operator: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        call = partial(operator, *args, **(kwargs or {}))
        if not self.watch.depth:
            self.calls.append((torch.is_grad_enabled(), call))
        return call()


def operators_alone(method: Method, x: Tensor, rounds: int) -> float:
    """Seconds of the operators beside the network; the method is of no use afterwards."""
    watch = Stopwatch()
    with watched(watch, method), Operators(watch) as operators:
        method(x)

    def once() -> float:
        with torch.no_grad():
            method.model(x)  # the caches as a step finds them
        start = time.process_time()
        for recording, call in operators.calls:
            torch._C._set_grad_enabled(recording)
            call()
        return time.process_time() - start

    with torch.enable_grad():  # as it is afterwards
        return min(once() for _ in range(rounds))


def step(method: Method, x: Tensor, rounds: int) -> dict[str, float]:
    """Milliseconds of a step, of its overhead and of the operators therein, in the round with the
    least overhead; the method is of no use afterwards.
    """

    def once() -> tuple[float, float]:
        watch = Stopwatch()
        with watched(watch, method):
            start = time.process_time()
            method(x)
            whole = time.process_time() - start
        return whole - watch.seconds, whole

    once()
    found, again = zip(*((once(), once()) for _ in range(rounds)), strict=True)
    (overhead, whole), (other, _) = min(found), min(again)
    median, _ = sorted(found)[rounds // 2]
    return {
        "step_ms": 1e3 * whole,
        "overhead_ms": 1e3 * overhead,
        "operators_ms": 1e3 * operators_alone(method, x, rounds),
        "share_pct": 100 * overhead / whole,
        "spread": off_itself(overhead, other, median / overhead),
    }


def hooks(calls: int = 5, rounds: int = 100) -> float:
    """Milliseconds that the hooks add to a step with so many hooked calls."""

    def once() -> float:
        watch = Stopwatch()
        nothing = watch.around(lambda: None)
        start = time.process_time()
        for _ in range(calls):
            nothing()
        return time.process_time() - start - watch.seconds

    return 1e3 * min(once() for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    names = sorted(path.stem for path in (asset_dir("configs") / "method").glob("*.yaml"))
    inputs = {"ResNet-50": torch.rand(8, 3, 64, 64), "small CNN": torch.rand(64, 3, 32, 32)}
    models: dict[str, Callable[[], SourceModel]] = {
        "ResNet-50": resnet50,
        "small CNN": TinyCNN,
    }
    rows = []
    print(f"hooks: {hooks():.3f} ms a step of five hooked calls, in every overhead below")
    for model_name, make in models.items():
        large = model_name == "ResNet-50"
        rounds = options.rounds if large else SMALL_ROUNDS * options.rounds
        print(f"\n{model_name}, batch {len(inputs[model_name])}")
        print(f"{'method':10}{'step ms':>10}{'overhead ms':>13}{'operators ms':>14}"
              f"{'share %':>9}{'spread':>8}{'bar':>8}  verdict")  # fmt: skip
        for name in names:
            method = made(name, make(), inputs[model_name])
            found = step(method, inputs[model_name], rounds)
            bar, unit = (10 if name in MOVES_ALL else 3, "%") if large else (1, "ms")
            against = found["share_pct" if large else "overhead_ms"]
            met = verdict(against, bar, found["spread"])
            rows.append({"model": model_name, "method": name, **found, "bar": f"{bar} {unit}",
                         "verdict": met})  # fmt: skip
            print(f"{name:10}{found['step_ms']:10.1f}{found['overhead_ms']:13.2f}"
                  f"{found['operators_ms']:14.2f}{found['share_pct']:9.1f}{found['spread']:8.2f}"
                  f"{bar:>5} {unit:2}  {met}")  # fmt: skip
    write("steps", rows, options.json)


if __name__ == "__main__":
    main()
