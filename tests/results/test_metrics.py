"""Each metric against an independent formula."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from ctta.online import trace as traces
from ctta.online.trace import Trace
from ctta.results import metrics


def made(n=400, k=7, seed=0, domains=("fog-5", "snow-5", "fog-5")):
    """A trace from random logits, beside the probabilities and labels themselves."""
    generator = np.random.default_rng(seed)
    p = torch.tensor(generator.normal(size=(n, k)) * 2).softmax(1).numpy()
    label = generator.integers(k, size=n)
    label[: n // 2] = p[: n // 2].argmax(1)
    samples = {
        "sample_id": np.arange(n),
        "domain": np.sort(generator.integers(len(domains), size=n)),
        "segment": np.zeros(n, dtype=int),
        "label": label,
        "prediction": p.argmax(1),
        "top_prob": p.max(1).astype(np.float32),
        "label_logprob": np.log(p[np.arange(n), label]).astype(np.float32),
        "sum_sq_prob": (p**2).sum(1).astype(np.float32),
        "entropy": -(p * np.log(p)).sum(1).astype(np.float32),
    }
    batches = {"adapt_seconds": np.full(4, 0.5), "batch_size": np.full(4, n // 4)}
    return Trace(samples, batches, domains, k), p, label


@pytest.fixture(params=[0, 1, 2])
def case(request):
    return made(seed=request.param)


def test_nll(case):
    trace, p, label = case
    assert metrics.nll(trace) == pytest.approx(log_loss(label, p, labels=range(7)), rel=1e-6)


def test_brier(case):
    trace, p, label = case
    expected = ((p - np.eye(7)[label]) ** 2).sum(1).mean()
    assert metrics.brier(trace) == pytest.approx(expected, rel=1e-5)


def test_ece(case):
    trace, p, label = case
    expected = multiclass_calibration_error(
        torch.tensor(p), torch.tensor(label), num_classes=7, n_bins=15, norm="l1"
    )
    assert metrics.ece(trace) == pytest.approx(float(expected), abs=1e-6)


def test_errors(case):
    trace, p, label = case
    wrong = p.argmax(1) != label
    right = accuracy_score(label, p.argmax(1))
    assert metrics.error_all_pct(trace) == pytest.approx(100 * (1 - right))
    domain = trace.samples["domain"]
    fog, snow = wrong[domain != 1].mean(), wrong[domain == 1].mean()
    by_domain = metrics.error_by_domain(trace)
    assert by_domain == pytest.approx({"fog-5": 100 * fog, "snow-5": 100 * snow})
    assert metrics.error_pct(trace) == pytest.approx(50 * (fog + snow))


def test_error_by_visit():
    trace, p, label = made(domains=("fog-5", "snow-5", "fog-5", "snow-5"))
    trace.samples["domain"][trace.samples["domain"] == 3] = 2
    wrong, domain = p.argmax(1) != label, trace.samples["domain"]
    expected = [100 * wrong[domain == number].mean() for number in range(3)]
    assert metrics.error_by_visit(trace) == pytest.approx([*expected, np.nan], nan_ok=True)


def test_error_along_the_stream(case):
    trace, p, label = case
    wrong = p.argmax(1) != label
    along = metrics.error_along_stream(trace, 10)
    expected = [100 * wrong[max(0, i - 9) : i + 1].mean() for i in range(len(wrong))]
    np.testing.assert_allclose(along, expected)
    with pytest.raises(ValueError, match="window: expected at least 1"):
        metrics.error_along_stream(trace, 0)


def test_samples_per_second(case):
    assert metrics.samples_per_second(case[0]) == 200


def test_summary_names_every_metric(case):
    assert set(metrics.summarise(case[0])) == {
        "error_pct",
        "error_all_pct",
        "nll",
        "brier",
        "ece",
        "collapsed_pct",
    }


def test_a_trace_is_looked_at_in_pieces(case, monkeypatch):
    trace = case[0]
    whole, by_domain = metrics.summarise(trace), metrics.error_by_domain(trace)
    monkeypatch.setattr(traces, "PIECE", 7)
    assert max(len(piece["label"]) for piece in trace.pieces()) == 7
    assert metrics.summarise(trace) == pytest.approx(whole, rel=1e-12)
    assert metrics.error_by_domain(trace) == by_domain
