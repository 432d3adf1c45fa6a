"""The folder of entries: what is in it, and which hashes are known there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ctta.leaderboard.entry import Entry
from ctta.leaderboard.fetched import kept
from ctta.leaderboard.shipped import Arrays, read_arrays, together
from ctta.leaderboard.wording import Sha256, printable, read_json, unfit
from ctta.online.trace import Trace
from ctta.results.result import Strict, write_text
from ctta.results.rows import AVERAGED

KNOWN, HASHES = "_known", "hashes.json"  # no method has a name like it
NOT_VERIFIABLE = "not verifiable"  # there is no trace to compute metrics from
NOT_HERE = "not verified here"  # it lies elsewhere, and was not fetched


@dataclass(frozen=True)
class Problem:
    """What is wrong with an entry, or a question about it.

    Attributes:
        where: the file, below the folder of entries.
        field: path of the field; empty: the whole file.
        text: what was expected and what came.
        question: it may be right; a person has to look.
    """

    where: str
    field: str
    text: str
    question: bool = False

    def __str__(self) -> str:
        parts = [self.where, self.field, "question" if self.question else "", self.text]
        return printable(": ".join(part for part in parts if part))


class KnownStream(Strict):
    """A stream of which runs are taken.

    Attributes:
        protocol_sha256: its protocol.
        data_sha256: the images of its first batches.
        file_sha256: of `_known/<stream_sha256>.npz`.
    """

    protocol_sha256: Sha256
    data_sha256: Sha256
    file_sha256: Sha256


class Known(Strict):
    """Hashes that somebody has looked at: `<benchmark>/_known/hashes.json`.

    Attributes:
        schema_version: of this file.
        weights: hash of a source model's weights -> the model's name.
        streams: hash of a stream -> what goes with it.
    """

    schema_version: Literal[1] = 1
    weights: dict[Sha256, str] = Field(default_factory=dict)
    streams: dict[Sha256, KnownStream] = Field(default_factory=dict)


@dataclass(frozen=True)
class Filed:
    """An entry and its file.

    Attributes:
        path: of the file.
        where: the path below the folder of entries.
        entry: what the file says.
    """

    path: Path
    where: str
    entry: Entry

    @property
    def trace_path(self) -> Path:
        """Where the trace lies: beside the entry, or where a linked one is kept once fetched."""
        beside, trace = self.path.with_suffix(".npz"), self.entry.trace
        if trace is None or trace.link is None or beside.is_file():
            return beside
        return kept(trace.sha256)

    @property
    def unverified(self) -> str:
        """Why metrics cannot be computed again here and now, as it is shown; empty: they can."""
        if self.entry.trace is None:
            return NOT_VERIFIABLE
        return "" if self.trace_path.is_file() else NOT_HERE


class Shelf:
    """A folder of entries.

    Args:
        root: `leaderboard/entries`, or one of your own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashes: dict[str, Known] = {}  # by benchmark
        self.streams: dict[str, Arrays] = {}  # what entries share, by the stream's hash

    def files(self, part: Path | None = None) -> Iterator[Path]:
        """The entries' files below ``part`` (a file or a folder); None: all.

        Raises:
            ValueError: nothing there, or ``part`` lies elsewhere.
        """
        start = (part or self.root).resolve()
        if not start.exists():
            raise ValueError(
                f"expected entries in {part or self.root}, found no such place; name their folder "
                "with --entries"
            )
        if not start.is_relative_to(self.root.resolve()):
            raise ValueError(f"{part} is not in {self.root}; name its folder with --entries")
        paths = [start] if start.is_file() else sorted(start.rglob("*.json"))
        for path in paths:
            if path.parent.name != KNOWN:
                yield path

    def where(self, path: Path) -> str:
        """A path of `files`, below the folder."""
        return path.relative_to(self.root.resolve()).as_posix()

    def read(self, part: Path | None = None) -> tuple[list[Filed], list[Problem]]:
        """The entries that can be read, and what is wrong with the others.

        Where a benchmark's known hashes are broken, nothing of it can be checked: that is one
        problem, of that file.
        """
        entries: list[Filed] = []
        problems: list[Problem] = []
        for path in self.files(part):
            where = self.where(path)
            try:
                entries.append(Filed(path, where, Entry.load(path, where=where)))
            except ValueError as error:
                problems += [
                    Problem(where, "", line.removeprefix(f"{where}: ").removeprefix(f"{where} "))
                    for line in str(error).splitlines()
                ]
        for benchmark, n in sorted(Counter(filed.entry.benchmark for filed in entries).items()):
            try:
                self.known(benchmark)
            except ValueError as error:
                path = self.known_path(benchmark, HASHES)
                text = str(error).removeprefix(f"{path}").lstrip(": ")
                text += f" (left out until then: {n} entries)"
                problems.append(Problem(f"{benchmark}/{KNOWN}/{HASHES}", "", text))
                entries = [filed for filed in entries if filed.entry.benchmark != benchmark]
        return entries, problems

    @cached_property
    def benchmarks(self) -> list[str]:
        """Those that have a folder.

        Raises:
            ValueError: no such folder of entries.
        """
        if not self.root.is_dir():
            raise ValueError(f"{self.root} is no folder of entries; name one with --entries")
        return sorted(p.name for p in self.root.iterdir() if p.is_dir())

    def known(self, benchmark: str) -> Known:
        """The known hashes of a benchmark, read once; none where there is no file.

        Raises:
            ValueError: a broken file.
        """
        if benchmark not in self.hashes:
            path = self.known_path(benchmark, HASHES)
            self.hashes[benchmark] = read_known(path) if path.is_file() else Known()
        return self.hashes[benchmark]

    def keep_known(self, benchmark: str, known: Known) -> None:
        """Write the known hashes of a benchmark."""
        path = self.known_path(benchmark, HASHES)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, known.model_dump_json(indent=1) + "\n")
        self.hashes[benchmark] = known

    def known_path(self, benchmark: str, name: str) -> Path:
        """A file of what is known of a benchmark."""
        return self.root / benchmark / KNOWN / name

    def shared(self, entry: Entry) -> Arrays:
        """What the entry's stream determines of its trace.

        Raises:
            ValueError: an unknown stream, or a file that is missing or damaged.
        """
        stream, known = entry.result.stream.stream_sha256, self.known(entry.benchmark)
        if stream not in known.streams:
            raise ValueError("its stream is unknown")
        if stream not in self.streams:
            path = self.known_path(entry.benchmark, f"{stream}.npz")
            self.streams[stream] = read_arrays(path, known.streams[stream].file_sha256)
        return self.streams[stream]

    def trace(self, filed: Filed) -> Trace:
        """The trace of an entry.

        Raises:
            ValueError: there is none, or the files are not what the hashes say.
        """
        return together(self.shared(filed.entry), self.answers(filed))

    def wrong(self, filed: Filed) -> NDArray[np.bool_]:
        """As `ctta.results.metrics.wrong`, of an entry whose trace was checked, [N].

        Raises:
            ValueError: there is none, or the files are not what the hashes say.
        """
        predictions = self.answers(filed, ["prediction"])["prediction"]
        return np.asarray(predictions != self.shared(filed.entry)["label"])

    def answers(self, filed: Filed, names: Sequence[str] | None = None) -> Arrays:
        """What the stream does not determine of an entry's trace; all columns, or ``names``.

        Raises:
            ValueError: there is none, or the file is not what the hash says.
        """
        if filed.entry.trace is None:
            raise ValueError("the entry has no trace")
        return read_arrays(filed.trace_path, filed.entry.trace.sha256, names)


def read_known(path: Path) -> Known:
    """The known hashes in a file.

    Raises:
        ValueError: a broken file.
    """
    try:
        return Known.model_validate(read_json(path.read_text(encoding="utf-8"), str(path)))
    except ValidationError as error:
        wrong = f"{path}: {'; '.join(unfit(error))}"
    except (OSError, UnicodeDecodeError) as error:
        wrong = f"{path} cannot be read: {error}"
    except ValueError as error:
        wrong = str(error)
    raise ValueError(
        f"{wrong}; mend it (after a merge it has the lines of both sides), or type "
        f"'git checkout HEAD -- {path}'"
    )


def duplicates(entries: Sequence[Filed], among: Sequence[Filed]) -> list[Problem]:
    """Runs that are there twice: same method, settings, stream and seed.

    Args:
        entries: to be told of; of two among them, the later one.
        among: all entries of the folder.
    """
    told = {filed.where for filed in entries}
    first: dict[str, str] = {}
    found = []
    for filed in [*(f for f in among if f.where not in told), *entries]:
        result = filed.entry.result
        own = [read(result) for read in AVERAGED.values()]
        key = repr([own, result.stream.stream_sha256, result.seeds["method"]])
        first.setdefault(key, filed.where)
        if filed.where in told and first[key] != filed.where:
            text = f"the same run as {first[key]}; keep one of them"
            found.append(Problem(filed.where, "result.seeds", text))
    return found
