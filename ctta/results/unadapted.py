"""What the source model made of a stream without adapting, from an earlier run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctta.build import Config
from ctta.online.trace import Trace
from ctta.results.metrics import wrong
from ctta.results.result import Result


def source_mistakes(root: Path, config: Config, stream_sha256: str) -> NDArray[np.bool_] | None:
    """Which samples ``method=source`` predicted wrongly [N] on this stream with this model.

    Args:
        root: of the run store.
        config: of the run at hand.
        stream_sha256: of its stream.

    Returns:
        None where no such run has finished.
    """
    for path in sorted(root.glob(f"source-{config['names']['dataset']}-*/result.json")):
        try:
            result = Result.load(path)
            same = result.config["model"] == config["model"] and result.status == "finished"
            if same and result.stream.stream_sha256 == stream_sha256:
                return wrong(Trace.load(path.with_name("trace.npz")))
        except ValueError:  # damaged: as if it was not there
            continue
    return None
