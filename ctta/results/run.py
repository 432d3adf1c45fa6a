"""One configuration executed and recorded."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from rich.table import Table

from ctta import kernels
from ctta.build import Config, build, optimizer_is_used
from ctta.methods.base import Method
from ctta.models.classes import for_classes
from ctta.models.compiling import compiling
from ctta.models.graphs import replaying
from ctta.models.pieces import in_pieces
from ctta.models.source import ModelCard, network_dtype
from ctta.online.checkpoint import CheckpointError
from ctta.online.collapse import CollapseGuard
from ctta.online.costs import flops_per_sample, peak_mib
from ctta.online.loop import clean_error_pct, run_online
from ctta.online.memory import shortage
from ctta.online.observers import Observer, Progress
from ctta.online.stopping import StopSignals
from ctta.online.trace import Trace
from ctta.online.window import Window
from ctta.places import cache_dir, data_dir, runs_dir
from ctta.results.artefacts import prepare
from ctta.results.environment import commit, environment
from ctta.results.exclusive import RunWatch
from ctta.results.identity import run_identity
from ctta.results.metrics import METRICS_VERSION
from ctta.results.outcome import (
    RunFailedError,
    cost_record,
    failed,
    finished,
    forgetting,
    in_words,
)
from ctta.results.result import (
    SCHEMA_VERSION,
    ArtefactRecord,
    CostRecord,
    DataRecord,
    MethodRecord,
    Result,
    StreamRecord,
)
from ctta.results.store import RunStore, gathered
from ctta.results.tracked import keep_tracked, tracked
from ctta.results.tuning import tuning_record
from ctta.results.unadapted import source_mistakes
from ctta.results.unfinished import Unfinished
from ctta.results.values import (
    DTYPES,
    check_tracking,
    checkpoint_interval,
    chosen_device,
    cuda_graph,
    known,
    speed,
    true_or_false,
    whole_number,
)
from ctta.seeding import same_bits, threads

log = logging.getLogger("ctta")


class Experiment:
    """One configuration: data set and stream are built at once, model and method when it runs.

    Args:
        config: the resolved configuration with ``names``, the chosen name of each group.

    Raises:
        ValueError: any value that does not fit, named by its key.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        whole_number(config["seed"], "seed", at_least=0)
        self.window = whole_number(config["online"]["window"], "online.window", at_least=1)
        self.speed = speed(config["online"])
        self.checkpoint_every = checkpoint_interval(config["online"])
        self.keep_logits = true_or_false(config["trace"]["logits"], "trace.logits")
        compute = config["compute"]
        self.threads = whole_number(compute["threads"], "compute.threads", at_least=1)
        self.device = chosen_device(compute["device"])
        self.dtype = DTYPES[known(compute["dtype"], "compute.dtype", DTYPES)]
        kernel_forms = known(compute["kernels"], "compute.kernels", ("auto", "reference"))
        self.reference_kernels = kernel_forms == "reference"
        self.channels_last = true_or_false(compute["channels_last"], "compute.channels_last")
        self.compile = true_or_false(compute["compile"], "compute.compile")
        self.cuda_graph = cuda_graph(compute, self.device)
        self.prefetch = whole_number(compute["prefetch"], "compute.prefetch", at_least=0)
        self.memory_mib = compute["memory_mib"]
        if self.memory_mib is not None:
            whole_number(self.memory_mib, "compute.memory_mib", at_least=1)
        check_tracking(config["tracking"])
        guard = config.get("guard", {"on_collapse": "warn"})  # older records do not have it
        self.stops = known(guard["on_collapse"], "guard.on_collapse", ("warn", "stop")) == "stop"
        optimizer_is_used(config)
        root = data_dir(config["paths"].get("data"))
        self.data = build(config["dataset"], "dataset", root=root)
        self.stream = build(config["stream"], "stream", data=self.data)

    def plan(self) -> Table:
        """What would run: the segments and the two hashes."""
        table = Table(title=f"{self.config['names']['method']} on {self.stream.name}", min_width=90)
        table.add_column("")
        table.add_column("", overflow="fold")
        online = {"window": self.window, **self.speed}
        for key, value in (
            ("data set", f"{self.data.name}, version {self.data.version}"),
            ("domains", ", ".join(dict.fromkeys(map(str, self.stream.domains)))),
            ("visits", str(len(self.stream.domains))),
            ("batches", str(len(self.stream))),
            ("online", ", ".join(f"{k} {v}" for k, v in online.items())),
            ("resets", "before each segment" if self.stream.resets else "never"),
            ("protocol_sha256", self.stream.protocol_sha256),
            ("stream_sha256", self.stream.stream_sha256),
        ):
            table.add_row(key, value)
        return table

    def prepare(self) -> None:
        """Build the method's artefact, if it needs one and there is none yet."""
        with threads(self.threads), same_bits():
            _, _, artefact = self.prepared()
        if artefact is None:
            log.info("%s needs no source data", self.config["names"]["method"])
        else:
            log.info("ready after %.1f s: %s", artefact.seconds, artefact.sha256)

    def run(self, store: RunStore | None = None, stop: StopSignals | None = None) -> Result:
        """Adapt along the stream and keep the record; a finished run is only looked up.

        A run that was stopped or killed goes on from its checkpoint.

        Raises:
            RunStoppedError: ``stop`` noted a signal, and the run is saved.
            ValueError: anything that stopped the run; a failed method leaves a failed record.
        """
        store = store or RunStore(runs_dir(self.config["paths"]["runs"]))
        reference = kernels.use_reference(self.reference_kernels)
        with threads(self.threads), same_bits(), reference:
            return self._run(store, stop)

    def _run(self, store: RunStore, stop: StopSignals | None) -> Result:
        names = self.config["names"]
        with gathered() as earlier:
            method, card, artefact = self.prepared()
        identity = run_identity(
            self.config,
            weights=card.weights_sha256,
            artefact=artefact and artefact.sha256,
            method=method.version,
            stream=self.stream.stream_sha256,
            metrics=METRICS_VERSION,
        )
        folder = store.folder(names["method"], names["dataset"], identity)
        done = None if self.config["force"] else store.finished(folder)
        if done is not None:
            then, now = done.environment["commit"], commit()
            where = f", at commit {then}; this is {now}" if then != now else ""
            if self.keep_logits and not done.config.get("trace", {}).get("logits"):
                where += ", without the logits that trace.logits=true asks for"
            log.info("%s is finished already%s; --force runs it again", folder, where)
            return done
        record = self.record(identity, method, card.to_dict(), artefact)
        unfinished = Unfinished(folder, identity, record["environment"])
        go_on = unfinished.saved() and not self.config["force"]
        observers = self.observers(folder.name, store, adapts=method.adapts)
        tracking = tracked(self.config, folder, record)
        if tracking is not None:
            observers.append(tracking)
        with (
            store.log(folder, earlier, go_on=go_on),
            kernels.recorded() as kernels_ran,
            ExitStack() as at_the_end,
        ):
            for observer in observers:
                at_the_end.callback(observer.close)
            try:
                store.begin(folder, self.config)
                self.check_memory(method)
                with (
                    compiling(self.compile),
                    in_pieces(self.memory_mib),
                    replaying(self.cuda_graph),
                ):
                    before = self.clean_error(method)
                    with RunWatch(cache_dir(self.config["paths"]["cache"])) as watch:
                        trace = self.adapt(method, observers, unfinished, go_on, stop)
                        exclusive = None if unfinished.resumes else watch.exclusive()
                    clean = forgetting(before, self.clean_error(method))
                costs = self.costs(method, trace, exclusive, kernels_ran)
            except (Exception, KeyboardInterrupt) as error:
                reason = in_words(error)
                log.debug("%s", reason, exc_info=True)
                try:
                    store.keep(folder, Result(**record, **failed(reason)), None)
                    if not unfinished.saved():
                        unfinished.remove()
                except ValueError as second:
                    log.warning("no record of this failed run: %s", second)
                if isinstance(error, (ValueError, OSError, KeyboardInterrupt)):
                    raise
                log_file = folder / "log.txt"
                raise RunFailedError(f"{reason}; the traceback is in {log_file}") from error
            outcome = finished(trace, clean, costs)
            result = Result(**record, **outcome, resumes=unfinished.resumes)
            store.keep(folder, result, trace)
            unfinished.remove()
            if tracking is not None:
                keep_tracked(tracking, result, folder)
            log.debug("finished: error %.2f %%", result.metrics["error_pct"])
        return result

    def adapt(
        self,
        method: Method,
        observers: Sequence[Observer],
        unfinished: Unfinished,
        go_on: bool,
        stop: StopSignals | None,
    ) -> Trace:
        """Along the stream, from the checkpoint where that is whole and fits."""
        along = partial(
            run_online,
            method,
            self.stream,
            device=self.device,
            dtype=self.dtype,
            observers=[unfinished, *observers],
            window=self.window,
            **self.speed,
            keep_logits=self.keep_logits,
            prefetch=self.prefetch,
            checkpoint=unfinished.folder,
            checkpoint_every=self.checkpoint_every,
            stop=stop,
        )
        if go_on and unfinished.usable():
            try:
                return along(resume_from=unfinished.folder)
            except CheckpointError as error:
                log.warning("%s; the run starts again", error)
        unfinished.begin()
        return along()

    def prepared(self) -> tuple[Method, ModelCard, ArtefactRecord | None]:
        """The method over its source model, ready for the stream, and what it prepared."""
        cache = cache_dir(self.config["paths"]["cache"])
        model = build(self.config["model"], "model", data=self.data, cache=cache)
        model = for_classes(model, self.data, self.config["names"]).to(self.device)
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
        method = build(self.config["method"], "method", model=model, seed=self.config["seed"])
        artefact = None
        if method.uses_source_data:
            weights = model.card.weights_sha256
            artefact = prepare(method, self.data.source(), weights=weights, cache=cache)
        return method, model.card, artefact

    def record(
        self,
        identity: str,
        method: Method,
        card: dict[str, Any],
        artefact: ArtefactRecord | None,
    ) -> dict[str, Any]:
        """The part of a result that is known before the run."""
        return {
            "schema_version": SCHEMA_VERSION,
            "identity": identity,
            "config": copy.deepcopy(dict(self.config)),
            "method": MethodRecord(
                name=self.config["names"]["method"],
                target=f"{type(method).__module__}.{type(method).__qualname__}",
                version=method.version,
                uses_source_data=method.uses_source_data,
            ),
            "stream": StreamRecord(
                name=self.stream.name,
                version=self.stream.version,
                protocol_sha256=self.stream.protocol_sha256,
                stream_sha256=self.stream.stream_sha256,
            ),
            "data": DataRecord(
                identity=self.data.identity,
                data_sha256=self.data_sha256(),
                verified=getattr(self.data, "verified", lambda: None)(),  # not of other packages
            ),
            "model": card,
            "seeds": {
                "method": self.config["seed"],
                "stream": self.config["stream"].get("seed", 0),  # some orders have none
            },
            "metrics_version": METRICS_VERSION,
            "source_data": None if artefact is None else self.data.source().identity,
            "artefact": artefact,
            "tuning": tuning_record(self.config, self.stream.domains),
            "environment": environment(self.device, self.threads),
        }

    def data_sha256(self) -> str:
        """Hash of the first batch of every segment as uint8, after preprocessing."""
        digest = hashlib.sha256()
        for batch in self.stream.firsts():
            digest.update((batch.x * 255).round().to(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def check_memory(self, method: Method) -> None:
        """Say that the memory may not suffice for a step; in pieces it does.

        Raises:
            ValueError: it cannot suffice.
        """
        if self.memory_mib is not None:
            return
        x = next(self.stream.firsts()).x
        together = len(x) if self.window == 1 else self.window
        shape = torch.Size([together, *x.shape[1:]])
        text = shortage(method.model, shape, device=self.device, dtype=self.dtype)
        if text is not None:
            log.warning("%s", text)

    def clean_error(self, method: Method) -> float | None:
        """Error in % on the clean test images, through `predict`; None where there are none."""
        clean = self.data.clean_test()
        if clean is None:
            return None
        images, labels = clean
        size = self.config["stream"]["batch_size"]
        return clean_error_pct(
            method, images, labels, batch_size=size, device=self.device, dtype=self.dtype
        )

    def costs(
        self, method: Method, trace: Trace, exclusive: bool | None, kernels_ran: set[str]
    ) -> CostRecord:
        """What the run took; the method is used up."""
        if exclusive is False:
            log.info("time not exclusive: another run was under way on this machine")
        return cost_record(
            trace,
            exclusive=exclusive,
            kernels_ran=kernels_ran,
            peak=peak_mib(self.device),
            flops=self.flops_per_sample(method),  # after the peak: it has its own
        )

    def flops_per_sample(self, method: Method) -> float | None:
        """Of the first batch, which the method takes again from its start; None: it failed.

        A count made beside the run would slow it down, and one on a copy before it needs the
        copy's memory.
        """
        try:
            method.reset()
            x = next(self.stream.firsts()).x.to(self.device)
            adapt = method if self.window == 1 else Window(method, self.window)
            with network_dtype(self.dtype):
                return flops_per_sample(adapt, x)
        except Exception as error:  # a finished run is not lost over its count
            log.warning("the FLOPs of a step could not be counted: %s", in_words(error))
            log.debug("", exc_info=True)
            return None

    def observers(self, title: str, store: RunStore, *, adapts: bool) -> list[Observer]:
        """Progress, if that is configured, and the guard of a method that ``adapts``."""
        chosen: list[Observer] = []
        if self.config["progress"]:
            chosen.append(Progress(title))
        if adapts:
            wrong = source_mistakes(store.root, self.config, self.stream.stream_sha256)
            chosen.append(CollapseGuard(stops=self.stops, source_wrong=wrong))
        return chosen
