"""What a run leaves behind: one row per sample, one per batch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
}


@dataclass(frozen=True)
class Trace:
    """The rows of one run.

    Attributes:
        samples: name -> array [N], the columns of ``SAMPLE_COLUMNS``.
        batches: name -> array [n_batches], the columns of ``BATCH_COLUMNS``.
        domain_names: [n_domains]; ``samples["domain"]`` points into it.
        n_classes: K.
    """

    samples: Mapping[str, NDArray[Any]]
    batches: Mapping[str, NDArray[Any]]
    domain_names: tuple[str, ...]
    n_classes: int

    def __len__(self) -> int:
        return len(self.samples["label"])

    def sha256(self) -> str:
        """Hash of the sample rows and the domain names; times and counts are not in it."""
        digest = hashlib.sha256("\n".join(self.domain_names).encode())
        for name, dtype in SAMPLE_COLUMNS.items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.samples[name], dtype=dtype).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write to ``path`` (npz), under a temporary name first."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                arrays: dict[str, Any] = {**self.samples, **self.batches}
                arrays["domain_names"] = np.array(self.domain_names)
                arrays["n_classes"] = np.array(self.n_classes)
                np.savez_compressed(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

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
                )
        except Exception as error:
            raise ValueError(f"{path} is not a whole trace: {error}") from error


class TraceWriter:
    """Collects rows batch by batch, as bytes of the columns' own small types.

    Args:
        stream: gives the domains' names.
    """

    def __init__(self, stream: Stream) -> None:
        self.domain_names = tuple(map(str, stream.domains))
        self.n_classes = 0
        self.columns = {name: bytearray() for name in (*SAMPLE_COLUMNS, *BATCH_COLUMNS)}

    def append(self, batch: Batch, logits: Tensor, **costs: float) -> None:
        """Add one batch: its rows, and its costs by the names of ``BATCH_COLUMNS``."""
        self.n_classes = logits.shape[1]
        y = batch.y.to(logits.device)
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        top = p.max(1)
        segment = torch.full_like(batch.y, batch.segment)
        rows = {
            "sample_id": batch.ids,
            "domain": batch.domain,
            "segment": segment,
            "label": y,
            "prediction": top.indices,
            "top_prob": top.values,
            "label_logprob": log_p.gather(1, y[:, None])[:, 0],
            "sum_sq_prob": (p * p).sum(1),
            # p log p -> 0 as p -> 0, where the product would be 0 times minus infinity.
            "entropy": -torch.special.xlogy(p, p).sum(1),
        }
        for name, dtype in SAMPLE_COLUMNS.items():
            self.columns[name] += rows[name].cpu().numpy().astype(dtype).tobytes()
        for name, dtype in BATCH_COLUMNS.items():
            value = len(batch.y) if name == "batch_size" else costs[name]
            self.columns[name] += np.array([value], dtype=dtype).tobytes()

    def trace(self) -> Trace:
        """All rows so far."""

        def arrays(columns: Mapping[str, str]) -> dict[str, NDArray[Any]]:
            return {
                name: np.frombuffer(bytes(self.columns[name]), dtype=dtype)
                for name, dtype in columns.items()
            }

        return Trace(
            arrays(SAMPLE_COLUMNS), arrays(BATCH_COLUMNS), self.domain_names, self.n_classes
        )

    def state_dict(self) -> dict[str, Any]:
        """The rows as tensors of bytes, for a checkpoint."""
        columns = {
            name: torch.frombuffer(bytearray(own) or bytearray(1), dtype=torch.uint8)[: len(own)]
            for name, own in self.columns.items()
        }
        return {"n_classes": self.n_classes, "columns": columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the rows of a checkpoint."""
        self.n_classes = state["n_classes"]
        self.columns = {n: bytearray(t.numpy().tobytes()) for n, t in state["columns"].items()}
