"""What methods prepare from source data, built once and cached by content."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path

from ctta.data.source import SourceData
from ctta.locks import making
from ctta.methods.base import Artefact, Method
from ctta.methods.state import state_sha256
from ctta.online.checkpoint import load_checkpoint, save_checkpoint
from ctta.places import saving, writable
from ctta.results.result import ArtefactRecord

log = logging.getLogger("ctta")


def prepare(method: Method, source: SourceData, *, weights: str, cache: Path) -> ArtefactRecord:
    """Prepare ``method`` with the cached artefact, which is built first where there is none.

    Args:
        method: as it was made; `reset` goes back to the state that this leaves.
        source: the training data.
        weights: hash of the source model.
        cache: folder; artefacts go to ``artefacts/`` inside. Of processes that share it, one
            builds.

    Raises:
        ValueError: a cache that cannot be written.
    """
    name = type(method).__name__.lower()
    depends = method.artefact_depends_on
    arguments = {k: v for k, v in method.arguments.items() if depends is None or k in depends}
    key = json.dumps(
        [name, method.version, weights, source.identity, arguments],
        sort_keys=True,
        default=lambda inner: [type(inner).__name__, inner.version, inner.arguments],
    )
    folder = writable(cache / "artefacts", "CTTA_CACHE")
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    began = time.perf_counter()
    with making(path, "CTTA_CACHE"):
        artefact = load(path)
        if artefact is None:
            n, n_all = len(method.source_part(source)), len(source)
            images = f"{n} source images" if n == n_all else f"{n} of {n_all} source images"
            log.info("preparing %s from %s; cached as %s", name, images, path)
            artefact = method.artefact(source)
            with saving(folder, "CTTA_CACHE"):
                save_checkpoint(path, {"sha256": state_sha256(artefact), "artefact": artefact})
            log.info("prepared %s in %.1f s", name, time.perf_counter() - began)
    method.install(artefact, source)
    method.remember()
    return ArtefactRecord(
        sha256=state_sha256(artefact), seconds=time.perf_counter() - began, n_images=len(source)
    )


def load(path: Path) -> Artefact | None:
    """The artefact at ``path``; None if there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        tree = load_checkpoint(path)
        whole = state_sha256(tree["artefact"]) == tree["sha256"]
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        log.warning("%s is damaged; it is made again", path)
        return None
    found: Artefact = tree["artefact"]
    return found
