"""Every setting from the command line to a record, over a few digits."""

import json

import numpy as np
import pytest

from ctta.assets import asset_dir

FEW = ["dataset.n_images=30", "dataset.corruptions=[fog,contrast]", "stream.batch_size=16"]
SMALL = {
    "correlated_note": ["stream.parameters.smallest_chunk=0"],
    "mixed_correlated_note": ["stream.parameters.smallest_chunk=0"],
    "label_shift": ["stream.parameters.draws_per_class=4"],
    "markov": ["stream.parameters.samples_per_state=20"],
    "csc": ["stream.rounds=3"],
    "cdc": ["stream.rounds=3"],
    "petta": ["stream.rounds=3"],
    "recurring": ["stream.rounds=3", "stream.repermuted=true"],
    "single_sample": ["stream.batch_size=1", "online.window=8"],
}
# Its corruptions are those of another data set; see streams/test_orders.py.
NOT_HERE = {"petal_orders", "sequential"}  # over other data sets, see tests/data
STREAMS = sorted(p.stem for p in asset_dir("configs").glob("stream/*.yaml"))


@pytest.mark.parametrize("stream", [name for name in STREAMS if name not in NOT_HERE])
def test_a_setting_runs_from_end_to_end(ctta, tmp_path, stream):
    chosen = [f"stream={stream}", *FEW, *SMALL.get(stream, [])]
    status, out, err = ctta("run", "method=norm", *chosen)
    assert status == 0, out + err
    (path,) = (tmp_path / "runs").glob("*/result.json")
    record = json.loads(path.read_text())
    assert set(record["error_by_domain"]) >= {"fog-5", "contrast-5"}
    with np.load(path.with_name("trace.npz"), allow_pickle=False) as trace:
        n = len(trace["label"])
    status, out, _ = ctta("run", "--dry-run", *chosen)
    assert status == 0
    words = "".join(line.split("│")[2].strip() for line in out.splitlines() if "│" in line)
    assert record["stream"]["protocol_sha256"] in words
    assert record["stream"]["stream_sha256"] in words
    expected = {
        "gradual": 2 * 9 * 30,
        "gradual_correlated": 2 * 9 * 30,
        "gradual_cotta": (9 + 5) * 30,
        "label_shift": 2 * 10 * 4,
        "csc": 180,
        "cdc": 180,
        "petta": 180,
        "recurring": 180,
    }
    if stream == "markov":
        assert 20 <= n < 2 * 10 * 20
    else:
        assert n == expected.get(stream, 60)


def test_a_faster_stream_is_another_run(ctta, tmp_path):
    for eta in ("1.0", "0.2"):
        chosen = ("stream=speed_limited", f"online.eta={eta}", *FEW)
        assert ctta("run", "method=tent", *chosen)[0] == 0
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/result.json")]
    assert len(records) == 2
    assert len({r["stream"]["stream_sha256"] for r in records}) == 1
    assert sorted(r["costs"]["backwards"] for r in records) == [0.5, 1.0]


def test_streams_are_listed_with_what_they_are(ctta):
    status, out, _ = ctta("list", "stream")
    assert status == 0
    for name in STREAMS:
        (line,) = [row for row in out.splitlines() if row.split()[0] == name]
        assert len(line.split()) > 5
