"""Runs that are killed and go on: does the trace have the bits of an undisturbed run?

    python tests/kill/kills.py [--kills 100] [--cache DIR] [METHOD/SETTING ...]

prints a table, one line a method and one a setting. In a parent everything is imported, the source
model loaded and the method prepared; each kill hits a child that the parent forks, so that it costs
a fraction of a second. The child is stopped (SIGSTOP) at whatever it is doing, looked at, and
killed (SIGKILL) if it is between its first checkpoint and its last batch.
"""

import argparse
import copy
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors import safe_open

from ctta.assets import asset_dir
from ctta.online.checkpoint import decode
from ctta.online.resume import STATE, batches_reached
from ctta.online.trace import SAMPLE_COLUMNS, Trace
from ctta.places import cache_dir
from ctta.results.execution import Execution
from ctta.results.result import Result
from ctta.results.run import Experiment
from ctta.results.store import RunStore
from ctta.seeding import threads

EVERY = 4
FEW = ["dataset.n_images=30", "dataset.corruptions=[fog,contrast]", "stream.batch_size=5"]
SHORT = {  # what is done before the stream is not what is killed
    "cotta": ["method.n_views=2"],
    "petal": ["method.n_views=2", "method.swag_epochs=2"],
    "rmt": ["method.warmup_steps=1", "method.source_batch_size=8"],
    "vida": ["method.n_views=2", "method.warmup_epochs=1"],
    "rotta": ["method.max_memory=8", "method.update_every=8"],
}
COUNTED = ("batch_size", "forwards", "backwards", "forward_images", "backward_images", "missed")
SECONDS_AT_MOST = 120
METHODS = sorted(path.stem for path in asset_dir("configs").glob("method/*.yaml"))


class Killed:
    """One configuration, prepared once, run undisturbed once, and killed as often as asked.

    Args:
        overrides: as after `ctta run`, with method and stream.
        folder: for its runs.
        cache: with the source model.
    """

    def __init__(self, overrides: list[str], folder: Path, cache: Path) -> None:
        names = {"dataset": "digits_c", "model": "digits_cnn", "method": "source"}
        names |= dict(o.split("=") for o in overrides if o.startswith(("method=", "stream=")))
        fixed = ["progress=false", f"paths.cache={cache}", f"paths.runs={folder}"]
        overrides = [f"online.checkpoint_every={EVERY}", *overrides]
        with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
            composed = compose("config", overrides=[*overrides, *fixed])
        config = OmegaConf.to_container(composed, resolve=True)
        self.experiment = Quick({**config, "names": names})
        self.folder = folder
        whole = RunStore(folder / "whole")
        self.result = self.experiment.run(whole)
        self.trace = traces(whole)[0]

    def kill(self, chance: random.Random) -> tuple[Result, int]:
        """One killed run that went on: its record, and the batches that the killed process did
        beyond its checkpoint."""
        store = RunStore(self.folder / "killed")
        n_batches = len(self.experiment.stream)
        lost = None
        while lost is None:  # else the child was through before it was hit
            shutil.rmtree(store.root)
            store = RunStore(store.root)
            target = chance.randrange(EVERY + 1, n_batches)
            lost = killed_child(self.experiment, store, target, chance.random() * 0.01)
        result = self.experiment.run(store)
        (trace,) = traces(store)
        assert 1 <= lost <= EVERY - 1
        assert [r.run_again for r in result.resumes] == [lost]
        assert result.resumes[0].after_batch % EVERY == 0
        assert result.trace_sha256 == self.result.trace_sha256
        for name in SAMPLE_COLUMNS:
            assert trace.samples[name].tobytes() == self.trace.samples[name].tobytes(), name
        for name in COUNTED:
            assert np.array_equal(trace.batches[name], self.trace.batches[name]), name
        assert not list(store.root.glob("*/checkpoint"))
        return result, lost


class AlongTheStream(Execution):
    """Nothing is measured beside it."""

    def clean_error(self):
        return None

    def flops_per_sample(self):
        return None


class Quick(Experiment):
    """Prepared once, and `AlongTheStream`."""

    ready = None

    def prepared(self):
        if self.ready is None:
            with threads(self.settings.threads):
                self.ready = super().prepared()
        method, card, artefact = self.ready
        return copy.deepcopy(method), card, artefact

    def execution(self, method):
        cache = cache_dir(self.config["paths"]["cache"])
        size = self.config["stream"]["batch_size"]
        return AlongTheStream(
            method, self.data, self.stream, self.settings, batch_size=size, cache=cache
        )


def traces(store: RunStore) -> list[Trace]:
    return [Trace.load(path) for path in store.root.glob("*/trace.npz")]


def killed_child(experiment: Experiment, store: RunStore, target: int, delay: float) -> int | None:
    """Fork a child that runs ``experiment``, and kill it once ``target`` batches are done.

    Returns:
        Batches it did beyond its checkpoint; None: it came to its last batch before it was hit.
    """
    child = forked(experiment, store)
    n_batches = len(experiment.stream)
    try:
        end = time.monotonic() + SECONDS_AT_MOST
        while time.monotonic() < end:
            reached = reached_in(store)
            if reached < target:
                time.sleep(0.0003)
                if os.waitpid(child, os.WNOHANG)[0]:
                    child = 0
                    return None
                continue
            time.sleep(delay)
            os.kill(child, signal.SIGSTOP)
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                child = 0
                return None
            reached = reached_in(store)
            saved = saved_in(store)
            if reached >= n_batches:
                return None
            if saved and 1 <= reached - saved <= EVERY - 1:
                return reached - saved
            target = reached + 1  # between two checkpoints, or in the middle of one
            os.kill(child, signal.SIGCONT)
        raise AssertionError(f"nothing to kill within {SECONDS_AT_MOST} s")
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def killed_while_it_saves(experiment: Experiment, store: RunStore, *, seconds: float) -> bool:
    """Kill a child with half a file on the disk, ``seconds`` after its first batch or later.

    Returns:
        Whether there was half a file; false: it came to its end before.
    """
    child = forked(experiment, store)
    while reached_in(store) < 1:
        time.sleep(0.0003)
    time.sleep(seconds)
    while True:
        os.kill(child, signal.SIGSTOP)
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return False
        if any(store.root.rglob(".*")):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        os.kill(child, signal.SIGCONT)
        time.sleep(0.0003)


def forked(experiment: Experiment, store: RunStore) -> int:
    """A child that runs ``experiment``."""
    child = os.fork()
    if child == 0:
        try:
            experiment.run(store)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def reached_in(store: RunStore) -> int:
    """Batches done by the run in ``store``; 0 before there is one."""
    return max((batches_reached(p) or 0 for p in store.root.glob("*/checkpoint")), default=0)


def saved_in(store: RunStore) -> int | None:
    """Batches in its checkpoint, read from the header; None: there is none."""
    for path in store.root.glob(f"*/checkpoint/{STATE}"):
        with safe_open(path, framework="pt") as file:
            items = dict(json.loads(file.metadata()["tree"])["items"])
            return decode(items["trace"], {}, {})["n_batches"]
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Without the lines of hundreds of runs."""
    log = logging.getLogger("ctta")
    handler, log.propagate = logging.NullHandler(), False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True


def main() -> None:
    from test_settings import NOT_HERE, SMALL, STREAMS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("only", nargs="*", metavar="METHOD/SETTING", help="none: all")
    options = parser.parse_args()
    chance = random.Random(0)
    cases = [(name, "continual", []) for name in METHODS]
    cases += [("cotta", s, SMALL.get(s, [])) for s in STREAMS if s not in {"continual", *NOT_HERE}]
    chosen = options.only or [f"{method}/{stream}" for method, stream, _ in cases]
    unknown = set(chosen) - {f"{method}/{stream}" for method, stream, _ in cases}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected METHOD/SETTING")
    cases = [case for case in cases if f"{case[0]}/{case[1]}" in chosen]
    print(f"{'method':8} {'setting':24} {'kills':>5} {'same bits':>9} {'again, mean':>11} {'s':>6}")
    n_bad = 0
    with tempfile.TemporaryDirectory() as folder, quiet():
        cache = options.cache or Path(folder) / "cache"
        for method, stream, more in cases:
            began = time.monotonic()
            overrides = [
                f"method={method}",
                f"stream={stream}",
                *FEW,
                *SHORT.get(method, []),
                *more,
            ]
            case = Killed(overrides, Path(folder) / f"{method}-{stream}", cache)
            lost, same = [], 0
            for _ in range(options.kills):
                try:
                    lost.append(case.kill(chance)[1])
                    same += 1
                except AssertionError:
                    traceback.print_exc()
            n_bad += options.kills - same
            again = f"{sum(lost) / max(len(lost), 1):.2f}"
            took = f"{time.monotonic() - began:.0f}"
            line = f"{method:8} {stream:24} {options.kills:5} {same:9} {again:>11} {took:>6}"
            print(line, flush=True)
            shutil.rmtree(case.folder)
    sys.exit(bool(n_bad))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
