"""The keys of the group `compute` as a user meets them, and the costs that a run records."""

import threading

import pytest
import torch

from ctta.results.exclusive import RunWatch
from ctta.results.identity import DECIDING, run_identity
from ctta.results.result import Result
from ctta.results.values import cuda_graph

QUICK = ["dataset.n_images=32", "stream.batch_size=16", "dataset.corruptions=[fog,contrast]"]


@pytest.fixture
def run(ctta, tmp_path):
    """Call `ctta run` with overrides; returns its record."""

    def call(*overrides):
        before = {*(tmp_path / "runs").glob("*/result.json")}
        status, out, err = ctta("run", *QUICK, *overrides)
        assert status == 0, out + err
        (path,) = {*(tmp_path / "runs").glob("*/result.json")} - before
        return Result.load(path)

    return call


def test_channels_last_gives_the_same_error(run):
    plain, last = run("method=tent"), run("method=tent", "compute.channels_last=true")
    assert last.metrics["error_pct"] == plain.metrics["error_pct"]
    assert last.metrics["nll"] == pytest.approx(plain.metrics["nll"], rel=1e-4)


def test_the_plain_form_of_the_kernels_gives_the_same_trace_and_is_recorded(run):
    quick, plain = (
        run("method=cotta", "method.n_views=2", f"compute.kernels={form}")
        for form in ("auto", "reference")
    )
    assert quick.trace_sha256 == plain.trace_sha256
    assert plain.costs.kernels == ["reference"]
    assert quick.costs.kernels
    assert "reference" not in quick.costs.kernels


@pytest.mark.parametrize("name", ["tent", "sar", "rmt"])
def test_float16_gives_the_error_of_float32(run, name):
    """Of 64 images at most one is answered otherwise."""
    shared = [f"method={name}", "model=digits_cnn_shipped"]
    full, half = (run(*shared, f"compute.dtype=float{bits}") for bits in (32, 16))
    assert half.metrics["error_pct"] == pytest.approx(full.metrics["error_pct"], abs=100 / 64)
    assert half.metrics["nll"] == pytest.approx(full.metrics["nll"], rel=0.02)


def test_prefetched_batches_give_the_same_bits_and_are_the_same_run(run, ctta, tmp_path):
    plain = run("method=tent")
    status, _, err = ctta("run", *QUICK, "method=tent", "compute.prefetch=2", "--force")
    assert status == 0
    assert "finished already" not in err
    (path,) = (tmp_path / "runs").glob("*/result.json")
    assert Result.load(path).trace_sha256 == plain.trace_sha256
    assert not [t for t in threading.enumerate() if t.name.startswith("ctta-prefetch")]


@pytest.mark.slow  # trains the transformer
def test_a_memory_bound_keeps_the_error_of_a_transformer(run):
    plain, split = (
        run("method=tent", "model=digits_vit", *more) for more in ([], ["compute.memory_mib=1"])
    )
    assert split.metrics["error_pct"] == plain.metrics["error_pct"]
    assert split.metrics["nll"] == pytest.approx(plain.metrics["nll"], rel=1e-4)
    assert split.costs.forwards == plain.costs.forwards
    assert split.costs.flops_per_sample == plain.costs.flops_per_sample


def test_a_memory_bound_is_refused_where_the_batch_counts(ctta):
    status, _, err = ctta("run", *QUICK, "method=tent", "compute.memory_mib=1")
    assert status != 0
    assert "Traceback" not in err
    assert "compute.memory_mib=null" in err


def test_the_network_is_compiled_where_that_is_asked_for(run, monkeypatch):
    from ctta.models import compiling

    torch._dynamo.reset()
    eager, used = torch.compile(compiling.plain, backend="eager"), []
    monkeypatch.setattr(compiling, "compiled", lambda: used.append(1) or eager)
    plain = run("method=tent")
    assert not used
    assert run("method=tent", "compute.compile=true").trace_sha256 == plain.trace_sha256
    assert used


def test_a_record_counts_passes_and_flops_a_sample(run):
    source, tent, cotta = (
        run(f"method={name}", *more)
        for name, *more in (["source"], ["tent"], ["cotta", "method.n_views=3"])
    )
    forward = source.costs.flops_per_sample
    assert forward > 1e5
    assert (source.costs.forwards_per_sample, source.costs.backwards_per_sample) == (1, 0)
    assert (tent.costs.forwards_per_sample, tent.costs.backwards_per_sample) == (1, 1)
    # Its backward needs no gradients of the weights, nor of the images.
    assert 1.5 * forward < tent.costs.flops_per_sample < 2 * forward
    # Student, anchor, and the teacher on the image or on its views.
    assert 3 <= cotta.costs.forwards_per_sample <= 5
    assert cotta.costs.flops_per_sample > 4 * forward


def test_flops_that_cannot_be_counted_do_not_cost_the_run(run, monkeypatch):
    from ctta.results import execution as module

    def fail(*_):
        raise RuntimeError("no formula")

    monkeypatch.setattr(module, "flops_per_sample", fail)
    assert run("method=source").costs.flops_per_sample is None


def test_a_run_beside_another_is_marked(run, digits_cache):
    assert run("method=source").costs.exclusive is True
    with RunWatch(digits_cache):
        assert run("method=norm").costs.exclusive is False


def test_graphs_are_refused_on_the_cpu(ctta):
    status, _, err = ctta("run", *QUICK, "compute.device=cpu", "compute.cuda_graph=true")
    assert status != 0
    assert "Traceback" not in err
    assert "compute.cuda_graph=false" in err


@pytest.mark.parametrize(
    ("other", "advice"),
    [({"compile": True}, "compile=false"), ({"memory_mib": 9}, "memory_mib=null")],
)
def test_graphs_are_refused_beside_other_ways_to_run_a_forward(other, advice):
    compute = {"cuda_graph": True, "compile": False, "memory_mib": None}
    assert cuda_graph(compute, torch.device("cuda"))
    with pytest.raises(ValueError, match=rf"compute\.{advice} or compute\.cuda_graph=false"):
        cuda_graph({**compute, **other}, torch.device("cuda"))


def test_without_graphs_a_run_keeps_the_name_that_it_had_before_they_were_there():
    config = {key: {} for key in DECIDING}
    named = [{**config, "compute": more} for more in ({}, {"cuda_graph": False})]
    assert run_identity(named[0]) == run_identity(named[1])
    assert run_identity(named[0]) != run_identity({**config, "compute": {"cuda_graph": True}})
