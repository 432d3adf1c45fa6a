"""The two hashes of a stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """SHA-256 of what defines a stream and has no seed, as canonical JSON."""
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stream_hash(
    protocol_sha256: str,
    segments: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
    domains: Sequence[str] = (),
) -> str:
    """SHA-256 of the protocol and the realised sequence of (domain, sample), segments marked.

    Args:
        protocol_sha256: from `protocol_hash`.
        segments: domain numbers and sample numbers of each.
        domains: names, in order, where the protocol says only by which rule they are ordered.
    """
    digest = hashlib.sha256(protocol_sha256.encode())
    for name in domains:
        digest.update(f"domain {name}\n".encode())
    for domain, index in segments:
        digest.update(f"segment {len(index)}\n".encode())
        digest.update(np.stack([domain, index]).astype("<i8").tobytes())
    return digest.hexdigest()
