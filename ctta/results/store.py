"""One folder a run, named by what it is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import yaml

from ctta.locks import take
from ctta.online.trace import Trace
from ctta.places import saving, writable
from ctta.results.index import RunIndex
from ctta.results.result import Result, write_text


@contextmanager
def gathered() -> Iterator[list[logging.LogRecord]]:
    """The records of what is logged inside, for a log that has no folder yet."""
    handler = MemoryHandler(capacity=1)  # without a target it keeps whatever comes
    logger = logging.getLogger("ctta")
    logger.addHandler(handler)
    try:
        yield handler.buffer
    finally:
        logger.removeHandler(handler)


class RunLog(logging.FileHandler):
    """``log.txt``: a full disk costs its lines, not the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Leave the record out."""

    def close(self) -> None:
        """Close the file, whatever is still to be written."""
        with suppress(OSError):
            super().close()


class RunStore:
    """Folders ``<method>-<dataset>-<identity>`` with config.yaml, result.json, trace.npz, log.txt
    and, while a run is unfinished, checkpoint/; beside them the index.

    Args:
        root: the folder of all runs.

    Raises:
        ValueError: ``root`` cannot be made or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = writable(root, "CTTA_RUNS")

    def folder(self, method: str, dataset: str, identity: str) -> Path:
        """Where the run of this identity lives."""
        return self.root / f"{method}-{dataset}-{identity[:12]}"

    def finished(self, folder: Path) -> Result | None:
        """The record of a finished run, or None; a damaged one counts as none."""
        try:
            result = Result.load(folder / "result.json")
            trace = Trace.load(folder / "trace.npz")
        except ValueError:
            return None
        whole = result.status == "finished" and trace.sha256() == result.trace_sha256
        return result if whole else None

    @contextmanager
    def log(
        self, folder: Path, earlier: Iterable[logging.LogRecord] = (), *, go_on: bool = False
    ) -> Iterator[None]:
        """What is logged inside goes to ``log.txt`` in the run's folder too, after ``earlier``.

        Who holds the file's lock runs the run; the system drops the lock of a killed process.

        Args:
            folder: of the run.
            earlier: records from before the folder was known.
            go_on: keep what the file has.

        Raises:
            ValueError: it cannot be written, or another process is running the run.
        """
        writable(folder, "CTTA_RUNS")
        with saving(folder, "CTTA_RUNS"):
            handler = RunLog(folder / "log.txt", mode="a", encoding="utf-8")
        assert handler.stream is not None
        if not take(handler.stream):
            handler.close()
            raise ValueError(f"{folder} is being run by another process; wait until that has ended")
        if not go_on:
            handler.stream.truncate(0)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for record in earlier:
            handler.handle(record)
        logger = logging.getLogger("ctta")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)
            handler.close()

    def begin(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Write the configuration, so that a run that is killed can be told and run again.

        Raises:
            ValueError: it cannot be written.
        """
        writable(folder, "CTTA_RUNS")
        with saving(folder, "CTTA_RUNS"):
            write_text(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))

    def keep(self, folder: Path, result: Result, trace: Trace | None) -> None:
        """Write a run; ``result.json`` last, so that a run with one is whole.

        A failed repetition does not replace a finished run.

        Raises:
            ValueError: it cannot be written; the message says what to set instead.
        """
        if result.status == "failed" and self.finished(folder) is not None:
            return
        self.begin(folder, result.config)
        with saving(folder, "CTTA_RUNS"):
            if trace is not None:
                trace.save(folder / "trace.npz")
            result.save(folder / "result.json")
        RunIndex(self.root).add(folder.name)
