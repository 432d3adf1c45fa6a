"""Collapse is told from a stream of few classes, in a run and in a trace, and can stop a run."""

import json
import logging

import numpy as np
import pytest
import torch

from ctta.online.collapse import (
    EXCESS_PCT,
    N_BATCHES,
    SHARE,
    SPREAD,
    CollapsedError,
    CollapseGuard,
    CollapseWatch,
    collapsed_pct,
)
from ctta.online.trace import BATCH_COLUMNS, SAMPLE_COLUMNS, Trace
from ctta.results.metrics import wrong
from ctta.results.result import Result
from ctta.results.unadapted import source_mistakes
from ctta.streams.stream import Batch

K, B = 10, 8
GENERATOR = np.random.Generator(np.random.PCG64(0))
LABELS = GENERATOR.integers(0, K, (60, B))


def judged(predictions, labels=LABELS, **options):
    watch = CollapseWatch(**options)
    return [watch.add(p, y, K) for p, y in zip(predictions, labels, strict=True)]


def test_one_class_for_all_is_a_collapse_as_soon_as_enough_is_seen():
    reasons = judged(np.full_like(LABELS, 7))
    assert reasons[: N_BATCHES - 1] == [None] * (N_BATCHES - 1)
    assert all("class 7 has 100 % of the predictions" in r for r in reasons[N_BATCHES - 1 :])


def test_right_predictions_on_a_stream_of_one_class_are_none():
    one_class = np.full_like(LABELS, 7)
    assert judged(one_class, one_class) == [None] * len(LABELS)


def test_wrong_predictions_of_all_classes_are_none():
    assert judged((LABELS + 1) % K) == [None] * len(LABELS)


def test_it_ends_where_the_predictions_recover():
    predictions = LABELS.copy()
    predictions[:25] = 7
    reasons = judged(predictions)
    assert reasons[24]
    assert reasons[24 + N_BATCHES] is None


@pytest.mark.parametrize(("excess", "found"), [(EXCESS_PCT - 5, False), (EXCESS_PCT + 5, True)])
def test_more_errors_than_without_adapting_are_a_collapse(excess, found):
    n = LABELS.size
    mistakes, before = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    mistakes[: int(n * (0.2 + excess / 100))] = True
    before[: int(n * 0.2)] = True
    order = np.arange(n).reshape(-1, 20).T.flatten()  # every 20th in turn: evenly over the stream
    mistakes[order], before[order] = mistakes.copy(), before.copy()
    predictions = (LABELS + mistakes.reshape(LABELS.shape)) % K
    reasons = judged(predictions, source_wrong=before)
    assert any(reasons) == found
    assert all("without adapting" in reason for reason in reasons if reason)
    assert not any(judged(predictions))


def trace_of(predictions, labels, sizes):
    samples = {name: np.zeros(len(labels), dtype) for name, dtype in SAMPLE_COLUMNS.items()}
    samples |= {"label": labels, "prediction": predictions}
    batches = {name: np.zeros(len(sizes), dtype) for name, dtype in BATCH_COLUMNS.items()}
    batches["batch_size"] = np.array(sizes)
    return Trace(samples, batches, ("fog",), K)


def test_the_metric_is_that_of_every_window_counted_anew():
    sizes = [8, 3] * 30
    ends = np.cumsum(sizes)
    labels = GENERATOR.integers(0, K, ends[-1])
    predictions = labels.copy()
    predictions[80:220] = 3
    n_found = 0
    for last in range(N_BATCHES - 1, len(sizes)):
        own = slice(ends[last - N_BATCHES] if last >= N_BATCHES else 0, ends[last])
        entropies, tops = [], []
        for values in (predictions[own], labels[own]):
            shares = np.unique(values, return_counts=True)[1] / len(values)
            entropies.append(-(shares * np.log(shares)).sum())
            tops.append(shares.max())
        n_found += entropies[0] < SPREAD * entropies[1] and tops[0] > tops[1] + SHARE
    assert 0 < n_found < len(sizes) - N_BATCHES
    found = collapsed_pct(trace_of(predictions, labels, sizes))
    assert found == pytest.approx(100 * n_found / len(sizes))


EMPTY = trace_of(LABELS[:0].ravel(), LABELS[:0].ravel(), [])


def feed(guard, n=30, predicted=7, so_far=EMPTY):
    guard.on_start(None, so_far)
    logits = torch.eye(K)[[predicted] * B]
    for y in LABELS[:n]:
        label = torch.from_numpy(y)
        guard.on_batch(Batch(torch.zeros(B), label, label, label, 0, False), logits)


def test_the_guard_says_it_once(caplog):
    with caplog.at_level(logging.WARNING, logger="ctta"):
        feed(CollapseGuard(stops=False))
    (line,) = caplog.messages
    assert f"collapsed by batch {N_BATCHES - 1}: class 7" in line


def test_the_guard_stops():
    with pytest.raises(CollapsedError, match=f"batch {N_BATCHES - 1}.*guard.on_collapse=warn"):
        feed(CollapseGuard(stops=True))


def test_a_run_that_goes_on_is_compared_with_the_source_model_from_there(caplog):
    n = 10  # batches of an earlier process, all of which the source model got wrong
    source_wrong = np.zeros((n + 30) * B, dtype=bool)
    source_wrong[: n * B] = True
    so_far = trace_of(LABELS[:n].ravel(), LABELS[:n].ravel(), [B] * n)
    predictions = iter((LABELS[:30] + 1) % K)  # all wrong, of every class

    class Wrong(CollapseGuard):
        def on_batch(self, batch, logits):
            super().on_batch(batch, torch.eye(K)[torch.from_numpy(next(predictions))])

    with caplog.at_level(logging.WARNING, logger="ctta"):
        feed(Wrong(stops=False, source_wrong=source_wrong), so_far=so_far)
    (line,) = caplog.messages
    assert f"collapsed by batch {n + N_BATCHES - 1}: error 100.0 %, without adapting 0.0 %" in line


QUICK = ["dataset.corruptions=[contrast]", "dataset.n_images=200", "stream.batch_size=8"]


def test_a_run_is_marked_and_can_be_stopped(ctta, tmp_path):
    status, _, err = ctta("run", "method=source", "guard.on_collapse=stop", *QUICK)
    assert (status, "collapsed" in err) == (0, False)  # it does not adapt: nobody's step did it
    (path,) = (tmp_path / "runs").glob("*/result.json")
    result = Result.load(path)
    assert result.metrics["collapsed_pct"] > 10
    trace = Trace.load(path.with_name("trace.npz"))
    root, stream = tmp_path / "runs", result.stream.stream_sha256
    assert np.array_equal(source_mistakes(root, result.config, stream), wrong(trace))
    assert source_mistakes(root, result.config, "another stream") is None
    assert source_mistakes(root, result.config | {"model": {}}, stream) is None
    tent = ["method=tent", "optimizer.lr=1", *QUICK]
    status, _, err = ctta("run", *tent)
    assert (status, err.count("collapsed by batch")) == (0, 1)
    (path,) = (tmp_path / "runs").glob("tent-*/result.json")
    status, _, err = ctta("run", *tent, "--force", "guard.on_collapse=stop")
    assert status == 1
    assert "collapsed by batch" in err.splitlines()[-1]
    assert json.loads(path.read_text())["status"] == "finished"  # a failure replaces no result
