"""What the demo must show, over three orders of the stream."""

import json
import sys

import numpy as np
import pytest

from ctta import cli


@pytest.mark.slow
def test_source_far_above_bn_and_bn_above_cotta(monkeypatch, tmp_path, digits_cache):
    monkeypatch.setenv("CTTA_CACHE", str(digits_cache))
    monkeypatch.setenv("CTTA_RUNS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["ctta"])
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "-m", "method=source,norm,cotta", "stream.seed=0,1,2"])
    assert stopped.value.code == 0
    error = {}
    for path in tmp_path.glob("*/result.json"):
        record = json.loads(path.read_text())
        error[record["method"]["name"], record["seeds"]["stream"]] = record["metrics"]["error_pct"]
    for seed in (0, 1, 2):
        assert error["source", seed] > 2 * error["norm", seed]
        assert error["norm", seed] > error["cotta", seed] + 1
    assert np.ptp([error["source", seed] for seed in (0, 1, 2)]) < 1e-9  # it has no state
