"""One configuration executed and recorded."""

from __future__ import annotations

import copy
import hashlib
import logging
from contextlib import ExitStack
from typing import Any

import torch
from rich.table import Table

from ctta import kernels
from ctta.build import Config, build, optimizer_is_used
from ctta.methods.base import Method
from ctta.models.classes import for_classes
from ctta.models.source import ModelCard
from ctta.online.collapse import CollapseGuard
from ctta.online.observers import Observer, Progress
from ctta.online.stopping import StopSignals
from ctta.places import cache_dir, data_dir, runs_dir
from ctta.results.artefacts import prepare
from ctta.results.environment import commit, environment
from ctta.results.execution import Execution
from ctta.results.identity import run_identity
from ctta.results.metrics import METRICS_VERSION
from ctta.results.outcome import RunFailedError, failed, finished, in_words
from ctta.results.result import (
    SCHEMA_VERSION,
    ArtefactRecord,
    DataRecord,
    MethodRecord,
    Result,
    StreamRecord,
)
from ctta.results.settings import Settings
from ctta.results.store import RunStore, gathered
from ctta.results.tracked import keep_tracked, tracked
from ctta.results.tuning import tuning_record
from ctta.results.unadapted import source_mistakes
from ctta.results.unfinished import Unfinished
from ctta.results.values import check_tracking, whole_number
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
        self.settings = Settings.of(config)
        check_tracking(config["tracking"])
        optimizer_is_used(config)
        root = data_dir(config["paths"].get("data"))
        self.data = build(config["dataset"], "dataset", root=root)
        self.stream = build(config["stream"], "stream", data=self.data)

    def plan(self) -> Table:
        """What would run: the segments and the two hashes."""
        table = Table(title=f"{self.config['names']['method']} on {self.stream.name}", min_width=90)
        table.add_column("")
        table.add_column("", overflow="fold")
        online = {"window": self.settings.window, **self.settings.speed}
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
        with threads(self.settings.threads), same_bits():
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
        reference = kernels.use_reference(self.settings.reference_kernels)
        with threads(self.settings.threads), same_bits(), reference:
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
            if self.settings.keep_logits and not done.config.get("trace", {}).get("logits"):
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
        with store.log(folder, earlier, go_on=go_on), ExitStack() as at_the_end:
            for observer in observers:
                at_the_end.callback(observer.close)
            try:
                store.begin(folder, self.config)
                execution = self.execution(method)
                trace, clean, costs = execution.run(observers, unfinished, go_on=go_on, stop=stop)
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

    def execution(self, method: Method) -> Execution:
        """Of the method that `prepared` gives."""
        return Execution(
            method,
            self.data,
            self.stream,
            self.settings,
            batch_size=self.config["stream"]["batch_size"],
            cache=cache_dir(self.config["paths"]["cache"]),
        )

    def prepared(self) -> tuple[Method, ModelCard, ArtefactRecord | None]:
        """The method over its source model, ready for the stream, and what it prepared."""
        cache = cache_dir(self.config["paths"]["cache"])
        model = build(self.config["model"], "model", data=self.data, cache=cache)
        model = for_classes(model, self.data, self.config["names"]).to(self.settings.device)
        if self.settings.channels_last:
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
            "environment": environment(self.settings.device, self.settings.threads),
        }

    def data_sha256(self) -> str:
        """Hash of the first batch of every segment as uint8, after preprocessing."""
        digest = hashlib.sha256()
        for batch in self.stream.firsts():
            digest.update((batch.x * 255).round().to(torch.uint8).cpu().numpy().tobytes())
        return digest.hexdigest()

    def observers(self, title: str, store: RunStore, *, adapts: bool) -> list[Observer]:
        """Progress, if that is configured, and the guard of a method that ``adapts``."""
        chosen: list[Observer] = []
        if self.config["progress"]:
            chosen.append(Progress(title))
        if adapts:
            wrong = source_mistakes(store.root, self.config, self.stream.stream_sha256)
            chosen.append(CollapseGuard(stops=self.settings.stops, source_wrong=wrong))
        return chosen
