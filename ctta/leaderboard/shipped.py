"""Traces as entries ship them: what the stream determines is kept once for all of its runs.

`_known/<stream_sha256>.npz` has what every run of a stream shares: sample ids, domains, segments,
labels and the sizes of the batches. ``<identity>.npz`` beside an entry has its answers, with
probabilities in float16, and its costs; the label's log-probability only where the prediction is
another class, since else it is that of the most probable one. Both together give the trace but for
the entropy, which no metric reads.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.places import whole_file

SHARED = ("sample_id", "domain", "segment", "label")
PROBABILITIES = ("top_prob", "label_logprob", "sum_sq_prob")
MAX_UNPACKED = 1_000_000_000
Arrays = dict[str, NDArray[Any]]


def stream_part(trace: Trace) -> Arrays:
    """What all runs of the stream share, in types as small as the values allow."""
    return {
        **{name: smallest(trace.samples[name]) for name in SHARED},
        "batch_size": smallest(trace.batches["batch_size"]),
        "domain_names": np.array(trace.domain_names),
        "n_classes": np.array(trace.n_classes),
    }


def own_part(trace: Trace) -> Arrays:
    """What the stream does not determine."""
    found: Arrays = {"prediction": smallest(trace.samples["prediction"])}
    wrong = trace.samples["prediction"] != trace.samples["label"]
    found |= {name: trace.samples[name].astype("<f2") for name in PROBABILITIES}
    found["label_logprob"] = found["label_logprob"][wrong]
    for name, dtype in BATCH_COLUMNS.items():
        if name != "batch_size":
            column = trace.batches[name]
            found[name] = column.astype("<f4") if dtype == "<f8" else smallest(column)
    return found


def together(shared: Arrays, own: Arrays) -> Trace:
    """The trace but for the entropy.

    Raises:
        ValueError: a column that is missing, of another length or kind, or out of range.
    """
    n, n_batches = len(column(shared, "label")), len(column(shared, "batch_size"))
    samples = {name: column(shared, name).astype(SAMPLE_COLUMNS[name]) for name in SHARED}
    for name in ("prediction", *PROBABILITIES):
        samples[name] = column(own, name).astype(SAMPLE_COLUMNS[name])
    k = int(column(shared, "n_classes"))
    if n and not 0 <= samples["prediction"].min() <= samples["prediction"].max() < k:
        raise ValueError(f"prediction: expected classes 0 to {k - 1}")
    samples["label_logprob"] = everywhere(samples, n)
    batches = {
        name: column(shared if name == "batch_size" else own, name).astype(dtype)
        for name, dtype in BATCH_COLUMNS.items()
    }
    for name, values, expected in (
        *((name, values, n) for name, values in samples.items()),
        *((name, values, n_batches) for name, values in batches.items()),
    ):
        if values.shape != (expected,):
            raise ValueError(f"{name}: expected {expected} values, got shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected numbers, got NaN or infinity")
    if not batches["adapt_seconds"].sum() > 0:
        raise ValueError("adapt_seconds: expected more than 0 in all")
    for name, low, high in (
        ("top_prob", 0, 1),
        ("sum_sq_prob", 0, 1.001),
        ("label_logprob", -np.inf, 0),
    ):
        if n and not low <= samples[name].min() <= samples[name].max() <= high:
            raise ValueError(f"{name}: expected values from {low} to {high}")
    names = tuple(map(str, column(shared, "domain_names")))
    return Trace(samples, batches, names, k)


def everywhere(samples: Arrays, n: int) -> NDArray[Any]:
    """The label's log-probability for all ``n`` samples, from that of the wrong ones.

    Raises:
        ValueError: columns that do not fit together.
    """
    for name in ("prediction", "top_prob"):
        if samples[name].shape != (n,):
            raise ValueError(f"{name}: expected {n} values, got shape {samples[name].shape}")
    wrong = samples["prediction"] != samples["label"]
    given = samples["label_logprob"]
    if given.shape != (wrong.sum(),):
        raise ValueError(
            f"label_logprob: expected a value for each of {wrong.sum()} wrong predictions, got "
            f"shape {given.shape}"
        )
    found = np.log(np.maximum(samples["top_prob"], np.finfo(np.float16).tiny))
    found[wrong] = given
    return found


def column(arrays: Arrays, name: str) -> NDArray[Any]:
    """One array by its name.

    Raises:
        ValueError: it is not there.
    """
    if name not in arrays:
        raise ValueError(f"{name}: expected a column, got none")
    return arrays[name]


def smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Integers in the smallest type that holds them."""
    if values.dtype == bool or not len(values):
        return values
    return values.astype(np.result_type(*map(np.min_scalar_type, (values.min(), values.max()))))


def write_arrays(path: Path, arrays: Arrays) -> str:
    """Write an npz whose bytes follow from ``arrays``; returns its SHA-256."""
    with whole_file(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, values in arrays.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.asarray(values, order="C"), allow_pickle=False)
                info = zipfile.ZipInfo(f"{name}.npy")  # with the date of 1980: the same bytes
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, buffer.getvalue())
        return file_sha256(temporary)


def read_arrays(path: Path, sha256: str, names: Sequence[str] | None = None) -> Arrays:
    """Read an npz of that hash; all of its arrays, or ``names``.

    Raises:
        ValueError: no such file, another content, one that unpacks to more than a gigabyte, or
            an array that it does not have.
    """
    if not path.is_file():
        raise ValueError(f"expected {path.name}, found no such file")
    found = file_sha256(path)
    if found != sha256:
        raise ValueError(f"expected {path.name} with SHA-256 {sha256[:12]}, got {found[:12]}")
    try:
        with np.load(path, allow_pickle=False) as file:
            size = sum(item.file_size for item in file.zip.infolist())
            if size > MAX_UNPACKED:
                raise ValueError(f"it unpacks to {size} bytes, expected at most {MAX_UNPACKED}")
            return {name: file[name] for name in names or file.files}
    except Exception as error:
        raise ValueError(f"{path.name} is no whole trace: {error}") from error


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
