"""An index over the folders of a run store, which any number of processes may write to.

The folders are the truth. A row says what was read of one, with the stamp (time, size, inode) of
the file that it was read from; `RunIndex.refresh` reads what has another stamp. So a process that
is killed between its record and its row loses nothing, and an index that is deleted comes back.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ctta.locks import held

log = logging.getLogger("ctta")
INDEX, VERSION = "index.sqlite", 1
SECONDS_TO_WAIT = 60.0
RECORD, CONFIG, LOG, TRACE, CHECKPOINT = (
    "result.json",
    "config.yaml",
    "log.txt",
    "trace.npz",
    "checkpoint",
)
STATUSES = ("finished", "failed", "stopped", "running", "damaged")
COLUMNS = (
    "folder",
    "stamp",
    "status",
    "method",
    "dataset",
    "stream",
    "model",
    "seed",
    "stream_seed",
    "error_pct",
    "ended",
    "reason",
    "code",
    "config_json",
)
SHOWN = tuple(c for c in COLUMNS if c not in ("stamp", "config_json"))


@dataclass(frozen=True)
class Run:
    """One run as the index knows it.

    Attributes:
        folder: name of its folder.
        status: ``finished``; ``failed`` with a reason; ``running`` now; ``stopped``: killed or
            asked to stop, it goes on when it is started again; ``damaged``: its files do not fit.
        ended: when its record was written, in UTC; None: it has none.
        code: commit of the checkout, else version of the package.
        config_json: resolved configuration; empty where none was written.
    """

    folder: str
    status: str
    method: str | None
    dataset: str | None
    stream: str | None
    model: str | None
    seed: int | None
    stream_seed: int | None
    error_pct: float | None
    ended: str | None
    reason: str | None
    code: str | None
    config_json: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration; of thousands of runs, few are looked at."""
        values: dict[str, Any] = json.loads(self.config_json)
        return values

    def shown(self) -> dict[str, Any]:
        """For a table or as JSON."""
        return {name: getattr(self, name) for name in SHOWN}


class RunIndex:
    """The index of one store; where it cannot be written, one in memory that is made each time.

    Args:
        root: folder of the store.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / INDEX

    def add(self, folder: str) -> None:
        """Note the run in ``folder``; what cannot be noted now is found by the next `refresh`."""
        try:
            with self.opened(self.path) as connection:
                self.write(connection, [folder], gone=())
        except (sqlite3.Error, OSError) as error:
            log.debug("not in the index yet: %s: %s", folder, error)

    def refresh(self) -> list[Run]:
        """Bring the index in line with the folders; all runs, by the names of their folders."""
        try:
            return self.refreshed(self.path)
        except sqlite3.OperationalError as error:  # read-only, full, locked for a minute
            log.debug("without the index: %s", error)
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged (%s); it is made again", self.path, error)
            for name in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm"):
                (self.root / name).unlink(missing_ok=True)
            with suppress(sqlite3.Error):
                return self.refreshed(self.path)
        except OSError as error:
            log.debug("without the index: %s", error)
        return self.refreshed(None)

    def refreshed(self, path: Path | None) -> list[Run]:
        """`refresh` over the index at ``path``; None: in memory."""
        with self.opened(path) as connection:
            known = dict(connection.execute("SELECT folder, stamp FROM runs"))
            found = self.stamps()
            changed = [folder for folder, stamp in found.items() if known.get(folder) != stamp]
            self.write(connection, changed, gone=known.keys() - found.keys())
            rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM runs ORDER BY folder")
            return [self.run(dict(zip(COLUMNS, row, strict=True))) for row in rows]

    def stamps(self) -> dict[str, str]:
        """Folder of each run -> stamp of its record, else of its configuration, else of its log."""
        found = {}
        try:
            entries = sorted(os.scandir(self.root), key=lambda entry: entry.name)
        except FileNotFoundError:
            return {}
        for entry in entries:
            if entry.is_dir() and (stamp := stamp_of(entry.path)) is not None:
                found[entry.name] = stamp
        return found

    def write(
        self, connection: sqlite3.Connection, folders: Sequence[str], *, gone: Iterable[str]
    ) -> None:
        """Read ``folders`` into the index, take out ``gone``, all or nothing."""
        rows = [row for folder in folders if (row := read(self.root / folder)) is not None]
        lost = [(folder,) for folder in gone]
        if not rows and not lost:
            return
        marks = ", ".join(f":{column}" for column in COLUMNS)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT OR REPLACE INTO runs VALUES ({marks})", rows)
        connection.executemany("DELETE FROM runs WHERE folder = ?", lost)
        connection.execute("COMMIT")

    def run(self, row: dict[str, Any]) -> Run:
        """A row with the status that it has now."""
        folder = self.root / row["folder"]
        del row["stamp"]
        if (row["status"] == "stopped" or (folder / CHECKPOINT).exists()) and held(folder):
            row["status"] = "running"
        return Run(**row)

    @contextmanager
    def opened(self, path: Path | None) -> Iterator[sqlite3.Connection]:
        """A connection to the index with its table."""
        if path is not None and not path.exists():
            self.make(path)
        with closing(connect(path or ":memory:")) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                create(connection)
            yield connection

    def make(self, path: Path) -> None:
        """An empty index under a name of its own first: who comes second finds it whole."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        try:
            with closing(connect(temporary)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                create(connection)
            with suppress(FileExistsError):
                path.hardlink_to(temporary)
        finally:
            for end in ("", "-wal", "-shm"):
                temporary.with_name(temporary.name + end).unlink(missing_ok=True)


def connect(path: Path | str) -> sqlite3.Connection:
    """Statements commit by themselves; who finds the file locked waits."""
    connection = sqlite3.connect(path, timeout=SECONDS_TO_WAIT, isolation_level=None)
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def create(connection: sqlite3.Connection) -> None:
    """The table, empty, in the place of one of another version."""
    columns = ", ".join(["folder PRIMARY KEY", *COLUMNS[1:]])
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE IF EXISTS runs")
    connection.execute(f"CREATE TABLE runs ({columns})")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def stamp_of(folder: str | Path) -> str | None:
    """What tells that a run's files are others than before; None: the folder is no run's.

    Time, size and inode of the file that says most of it, and whether it has a trace.
    """
    for name in (RECORD, CONFIG, LOG):
        with suppress(OSError):
            found = os.stat(f"{folder}/{name}")  # noqa: PTH116 - of thousands, a Path is felt
            traced = os.path.exists(f"{folder}/{TRACE}")  # noqa: PTH110
            return f"{name} {found.st_mtime_ns} {found.st_size} {found.st_ino} {traced}"
    return None


def read(folder: Path) -> dict[str, Any] | None:
    """The row of the run in ``folder``; None: it is no run's."""
    stamp = stamp_of(folder)
    if stamp is None:
        return None
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"folder": folder.name, "stamp": stamp, "status": "stopped", "config_json": "{}"}
    try:
        if stamp.startswith(RECORD):
            row |= of_record(folder)
        elif stamp.startswith(CONFIG):
            row |= of_config(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        row |= {"status": "damaged", "reason": " ".join(f"{type(error).__name__}: {error}".split())}
    return row


def of_record(folder: Path) -> dict[str, Any]:
    """What result.json says of a run."""
    path = folder / RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    seconds = path.stat().st_mtime
    row = of_config(record["config"]) | {
        "status": record["status"],
        "seed": record["seeds"]["method"],
        "stream_seed": record["seeds"]["stream"],
        "error_pct": record["metrics"].get("error_pct"),
        "ended": datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds"),
        "reason": record["reason"],
        "code": record["environment"]["commit"] or record["environment"]["ctta"],
    }
    if row["status"] == "finished" and not (folder / TRACE).is_file():
        row |= {"status": "damaged", "reason": f"{TRACE} is missing"}
    return row


def of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration says of a run."""
    names = config["names"]
    return {
        **{name: names[name] for name in ("method", "dataset", "stream", "model")},
        "seed": config["seed"],
        "stream_seed": config["stream"].get("seed", 0),
        "config_json": json.dumps(config),
    }
