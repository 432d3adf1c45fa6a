"""AdaNPC: what it computes once, its votes against plain formulas, and the memory that it takes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ctta.data.source import SourceData
from ctta.methods.adanpc import AdaNPC
from ctta.parts import memory
from ctta.testing import batches, tiny_cnn

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"
ARGUMENTS = {
    "n_neighbors": 3,
    "temperature": 0.1,
    "min_confidence": 0.0,
    "confidence": "vote",
    "score_floor": 1e-5,
    "random_first_row": False,
}


def prepared(**changes):
    method = AdaNPC(tiny_cnn().double(), **{**ARGUMENTS, **changes})
    images = torch.cat(batches(4, seed=3)).double()
    method.prepare(SourceData(images, torch.arange(24) % 5, identity="noise"))
    return method


def trained_norm(**changes):
    node = {"name": "adam", "lr": 0.01}
    return prepared(feature_norm="eval", optimizer=node, steps=3, **changes)


def test_features_are_computed_once_a_batch():
    method = trained_norm()
    before = method.n_forwards
    for x in batches(2):
        method(x.double())
    assert method.n_forwards - before == 2
    assert method.memory_size == 24 + 2 * 3 * 6


def test_steps_on_kept_features_are_steps_on_the_images():
    whole, single = trained_norm(), trained_norm()
    for x in batches(2):
        expected = [single.adapt(x.double()) for _ in range(3)][-1]
        assert torch.equal(whole(x.double()), expected.detach())
    assert torch.equal(whole.memory, single.memory)


@pytest.mark.parametrize("block", [4, 8192])
def test_a_ball_full_of_rows_votes_as_a_whole(monkeypatch, block):
    monkeypatch.setattr(memory, "BLOCK", block)
    method = prepared(similarity_radius=-0.9, score_floor=0.0)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(7, method.memory.shape[1], generator=generator, dtype=torch.float64)
    query = F.normalize(query)
    query.requires_grad_()
    similarity = query @ method.memory.T
    weights = (similarity / 0.1).masked_fill(similarity < -0.9, -torch.inf).softmax(1)
    expected = weights @ F.one_hot(method.memory_label, method.model.card.n_classes).double()
    votes = method.vote(query)
    torch.testing.assert_close(votes, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad((v**2).sum(), query)[0] for v in (votes, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


def test_the_ball_holds_its_rim_and_nothing_else():
    method = prepared(similarity_radius=0.5, score_floor=0.0, temperature=1.0)
    width = method.memory.shape[1]
    rows = torch.zeros(3, width, dtype=torch.float64)
    rows[0, 0] = 1
    rows[1, :4] = 0.5  # similarity 0.5 to the first
    rows[2, 1] = 1
    method.bank = memory.FeatureMemory((rows, torch.tensor([0, 1, 2])))
    votes = method.vote(rows[:1])
    expected = torch.tensor([1.0, 0.5], dtype=torch.float64).softmax(0)
    torch.testing.assert_close(votes[0, :2], expected)
    assert votes[0, 2] == 0
    # One sample without a near row: the nearest vote for all.
    far = torch.zeros(1, width, dtype=torch.float64)
    far[0, 0] = 0.4
    assert (method.vote(torch.cat([rows[:1], far]))[:, 2] > 0).all()


def test_the_prepared_rows_are_taken_as_they_are():
    method = prepared()
    images = torch.cat(batches(4, seed=3)).double()
    source = SourceData(images, torch.arange(24) % 5, identity="noise")
    artefact = method.artefact(source)
    method.install(artefact, source)
    assert method.bank.source[1][0] is artefact["rows"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak memory")
def test_beside_the_rows_it_needs_less_than_half_of_them():
    command = [sys.executable, str(BENCHMARK), "--rows", "40000", "--features", "1024"]
    done = subprocess.run(
        [*command, "--limit", "75"], capture_output=True, text=True, check=False
    )  # the rows take 156 MiB
    assert done.returncode == 0, done.stdout + done.stderr
