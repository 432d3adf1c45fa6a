"""What a run leaves behind: one row per sample, one per batch."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctta.places import on_disk, saving, whole_file
from ctta.streams.stream import Batch, Stream

SAMPLE_COLUMNS: dict[str, str] = {
    "sample_id": "<i8",
    "domain": "<i4",
    "segment": "<i4",
    "label": "<i4",
    "prediction": "<i4",
    "top_prob": "<f4",
    "label_logprob": "<f4",
    "sum_sq_prob": "<f4",
    "entropy": "<f4",
}
BATCH_COLUMNS: dict[str, str] = {
    "batch_size": "<i4",
    "adapt_seconds": "<f8",
    "data_seconds": "<f8",
    "forwards": "<i4",
    "backwards": "<i4",
    "forward_images": "<i4",
    "backward_images": "<i4",
    "missed": "|b1",  # the stream did not wait: see `ctta.online.speed`
}
LOGITS = "<f4"
SAMPLE_ROW, BATCH_ROW = (np.dtype(list(c.items())) for c in (SAMPLE_COLUMNS, BATCH_COLUMNS))
CHUNK = 2**20
PIECE = 2**14  # values of a column that are looked at together

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Trace:
    """The rows of one run.

    Attributes:
        samples: name -> array [N], the columns of ``SAMPLE_COLUMNS``.
        batches: name -> array [n_batches], the columns of ``BATCH_COLUMNS``.
        domain_names: [n_domains]; ``samples["domain"]`` points into it.
        n_classes: K.
        logits: [N,K] if they were kept.
    """

    samples: Mapping[str, NDArray[Any]]
    batches: Mapping[str, NDArray[Any]]
    domain_names: tuple[str, ...]
    n_classes: int
    logits: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.samples["label"])

    @property
    def n_batches(self) -> int:
        """How many batches it has."""
        return len(self.batches["batch_size"])

    def sha256(self) -> str:
        """Hash of the sample rows and the domain names; times and counts are not in it."""
        digest = hashlib.sha256("\n".join(self.domain_names).encode())
        for name, dtype in SAMPLE_COLUMNS.items():
            digest.update(name.encode())
            for part in in_pieces(self.samples[name]):
                digest.update(np.ascontiguousarray(part, dtype=dtype).tobytes())
        return digest.hexdigest()

    def pieces(self) -> Iterator[Columns]:
        """The sample rows, ``PIECE`` at a time: what is made of them stays small."""
        parts = [in_pieces(column) for column in self.samples.values()]
        for columns in zip(*parts, strict=True):
            yield dict(zip(self.samples, columns, strict=True))

    def n_wrong(self) -> int:
        """How many samples were predicted wrongly."""
        return sum(int((p["prediction"] != p["label"]).sum()) for p in self.pieces())

    def save(self, path: Path) -> None:
        """Write to ``path`` (npz), which appears when it is whole."""
        arrays: dict[str, Any] = {**self.samples, **self.batches}
        arrays["domain_names"] = np.array(self.domain_names)
        arrays["n_classes"] = np.array(self.n_classes)
        if self.logits is not None:
            arrays["logits"] = self.logits
        with (
            whole_file(path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    save_array(file, array)

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what `save` wrote.

        Raises:
            ValueError: no such file, or not a whole trace.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    samples={name: file[name] for name in SAMPLE_COLUMNS},
                    batches={name: file[name] for name in BATCH_COLUMNS},
                    domain_names=tuple(map(str, file["domain_names"])),
                    n_classes=int(file["n_classes"]),
                    logits=file.get("logits"),
                )
        except Exception as error:
            raise ValueError(f"{path} is not a whole trace: {error}") from error


class TraceWriter:
    """Appends rows to one file a kind: memory does not grow with the stream.

    Args:
        stream: gives the domains' names.
        folder: of the files; None: a temporary one, gone at the end.
        keep_logits: keep the logits as one more file, float32 [N,K].

    Used as a context; `trace` maps the files, and the mapping stays valid after the context.
    """

    def __init__(
        self, stream: Stream, folder: Path | None = None, *, keep_logits: bool = False
    ) -> None:
        self.domain_names = tuple(map(str, stream.domains))
        self.kinds = {"samples": SAMPLE_ROW, "batches": BATCH_ROW}
        if keep_logits:
            self.kinds["logits"] = np.dtype(LOGITS)
        self.n_samples = self.n_batches = self.n_classes = 0
        self.checksums = dict.fromkeys(self.kinds, 0)
        self.temporary = None
        if folder is None:
            self.temporary = tempfile.TemporaryDirectory(prefix="ctta-trace-")
            folder = Path(self.temporary.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.variable = "TMPDIR" if self.temporary else "CTTA_RUNS"

    def __enter__(self) -> TraceWriter:
        self.files = {name: (self.folder / name).open("ab") for name in self.kinds}
        for name, file in self.files.items():
            file.truncate(self.n_bytes(name))
        if not self.temporary:
            on_disk(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with saving(self.folder, self.variable):
                for file in self.files.values():
                    file.close()
        finally:
            if self.temporary is not None:
                self.temporary.cleanup()

    def n_bytes(self, name: str) -> int:
        """Size of a file so far."""
        rows = self.n_batches if name == "batches" else self.n_samples
        width = self.n_classes if name == "logits" else 1
        return rows * width * self.kinds[name].itemsize

    def append(self, batch: Batch, logits: Tensor, **costs: float) -> None:
        """Add one batch: its rows, and its costs by the names of ``BATCH_COLUMNS``.

        Raises:
            ValueError: they cannot be written.
        """
        n = len(batch.y)
        self.n_classes = logits.shape[1]
        self.n_samples += n
        self.n_batches += 1
        y = batch.y.to(logits.device)
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        top = p.max(1)
        columns = {
            "sample_id": batch.ids,
            "domain": batch.domain,
            "segment": torch.full_like(batch.y, batch.segment),
            "label": y,
            "prediction": top.indices,
            "top_prob": top.values,
            "label_logprob": log_p.gather(1, y[:, None])[:, 0],
            "sum_sq_prob": (p * p).sum(1),
            # p log p -> 0 as p -> 0, where the product would be 0 times minus infinity.
            "entropy": -torch.special.xlogy(p, p).sum(1),
        }
        samples, one = np.empty(n, SAMPLE_ROW), np.empty(1, BATCH_ROW)
        for name, column in columns.items():
            samples[name] = column.cpu().numpy()
        for name, value in {"batch_size": n, **costs}.items():
            one[name] = value
        rows = {"samples": samples, "batches": one}
        if "logits" in self.kinds:
            rows["logits"] = logits.cpu().numpy().astype(LOGITS)
        with saving(self.folder, self.variable):
            for name, file in self.files.items():
                data = rows[name].tobytes()
                self.checksums[name] = zlib.crc32(data, self.checksums[name])
                file.write(data)

    def trace(self) -> Trace:
        """All rows so far, mapped from the files."""

        def mapped(name: str) -> NDArray[Any]:
            with saving(self.folder, self.variable):
                self.files[name].flush()
            if not self.n_bytes(name):
                return np.empty(0, self.kinds[name])
            return np.memmap(self.folder / name, self.kinds[name], mode="r")

        shape = (self.n_samples, self.n_classes)
        logits = mapped("logits").reshape(shape) if "logits" in self.kinds else None
        samples, batches = mapped("samples"), mapped("batches")
        return Trace(
            {name: samples[name] for name in SAMPLE_COLUMNS},
            {name: batches[name] for name in BATCH_COLUMNS},
            self.domain_names,
            self.n_classes,
            logits,
        )

    def state_dict(self) -> dict[str, Any]:
        """How far the files are whole, and their checksums; they are on the disk when this returns.

        Raises:
            ValueError: they cannot be written.
        """
        with saving(self.folder, self.variable):
            for file in self.files.values():
                file.flush()
                os.fsync(file.fileno())
        counts = ("n_samples", "n_batches", "n_classes", "checksums")
        return {name: getattr(self, name) for name in counts}

    def go_on(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Before the context: start after the rows in ``folder`` that a checkpoint counted.

        Raises:
            ValueError: a file there lacks some of them, or they are not as they were.
        """
        if set(state["checksums"]) != set(self.kinds):
            kept, wanted = (", ".join(sorted(names)) for names in (state["checksums"], self.kinds))
            raise ValueError(f"{folder} has rows of {kept}, expected {wanted}")
        for name, value in state.items():
            setattr(self, name, value)
        for name in self.kinds:
            own = folder / name
            if not own.is_file() or own.stat().st_size < self.n_bytes(name):
                raise ValueError(f"{own} lacks rows of its checkpoint")
            if checksum(own, self.n_bytes(name)) != self.checksums[name]:
                raise ValueError(f"{own} is damaged")
            if folder != self.folder:
                shutil.copyfile(own, self.folder / name)


def in_pieces(column: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """At most ``PIECE`` values at a time; the pages of a mapped file are given back after each."""
    file = getattr(column, "_mmap", None)
    rows = max(PIECE * len(column) // max(column.size, 1), 1)
    for first in range(0, len(column), rows):
        yield column[first : first + rows]
        if file is not None and hasattr(mmap, "MADV_DONTNEED"):
            file.madvise(mmap.MADV_DONTNEED)


def values(column: NDArray[np.integer[Any]]) -> Iterator[int]:
    """One by one, of a column that may be a mapped file."""
    return chain.from_iterable(part.tolist() for part in in_pieces(column))


def save_array(file: IO[bytes], array: NDArray[Any]) -> None:
    """Write an npy file as `numpy.save` does, which takes 16 MiB for a column of mapped rows."""
    descr = np.lib.format.dtype_to_descr(array.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in in_pieces(np.atleast_1d(array)):
        file.write(np.ascontiguousarray(part).tobytes())


def checksum(path: Path, n_bytes: int) -> int:
    """CRC-32 of the first ``n_bytes`` of a file."""
    found = 0
    with path.open("rb") as file:
        while n_bytes > 0 and (data := file.read(min(n_bytes, CHUNK))):
            found, n_bytes = zlib.crc32(data, found), n_bytes - len(data)
    return found
