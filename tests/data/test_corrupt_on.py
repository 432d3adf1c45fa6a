"""Where images are corrupted: on the CPU, or on a device, which makes another data set."""

import miniature
import pytest
import torch

from ctta.data import corrupted as module
from ctta.data.digits import DigitsC
from ctta.data.own import corrupted
from ctta.methods.tent import Tent
from ctta.models.digits import TinyCNN
from ctta.online.loop import run_online
from ctta.results.identity import DECIDING, run_identity
from ctta.results.result import Result
from ctta.streams.stream import CorruptionStream
from ctta.testing.device import another_device

# Loading there looks to torch as if nothing was loaded.
pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")


@pytest.fixture(params=[pytest.param("cuda", marks=pytest.mark.gpu), "pretended"])
def device(request):
    if request.param == "cuda":
        yield torch.device("cuda")
    else:
        with another_device() as pretended:
            yield pretended


@pytest.fixture
def places(monkeypatch):
    """The devices of the images that were corrupted."""
    found, real = [], module.corrupt

    def noted(images, *args, **kwargs):
        found.append(images.device.type)
        return real(images, *args, **kwargs)

    monkeypatch.setattr(module, "corrupt", noted)
    return found


def digits(where="cpu"):
    """Two corruptions; blurred pixels are those that a device may round to another level."""
    data = DigitsC(n_images=24, corruptions=["fog", "defocus_blur"])
    data.corrupt_on = where  # the pretended device has no name to ask for
    return data


def test_images_are_corrupted_and_stay_on_the_device(device, places):
    ours, there = (
        next(CorruptionStream(digits(w), setting="mixed", batch_size=16).firsts())
        for w in ("cpu", device.type)
    )
    assert set(places[:2]) == {"cpu"}
    assert set(places[2:]) == {device.type}
    assert len(places) == 4
    assert there.x.device.type == device.type
    torch.testing.assert_close(there.x.cpu(), ours.x, rtol=0, atol=1.01 / 255)
    assert torch.equal(there.ids, ours.ids)


@pytest.mark.parametrize("options", [{}, {"window": 8}, {"eta": 0.5}])
def test_a_stream_runs_and_goes_on_there(options, device, tmp_path):
    def run(where, **more):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = TinyCNN()
        optimizer = {"name": "sgd", "lr": 0.01}
        method = Tent(model.to(where), optimizer=optimizer)
        stream = CorruptionStream(digits(where.type), batch_size=8)
        return run_online(method, stream, device=where, **options, **more)

    expected = run(torch.device("cpu"))
    whole = run(device, checkpoint=tmp_path, checkpoint_every=4)
    a, b = (torch.tensor(trace.samples["label_logprob"]) for trace in (whole, expected))
    torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)
    assert run(device, resume_from=tmp_path).sha256() == whole.sha256()


QUICK = ["method=tent", "model=digits_cnn_shipped", "dataset.n_images=24", "stream.batch_size=8"]
QUICK += ["dataset.corruptions=[fog,defocus_blur]", "progress=false"]


@pytest.fixture
def recorded(ctta, tmp_path):
    """Call `ctta run` with overrides; returns its record."""

    def call(*overrides):
        before = {*tmp_path.glob("runs/*/result.json")}
        status, out, err = ctta("run", *QUICK, *overrides)
        assert status == 0, out + err
        (path,) = {*tmp_path.glob("runs/*/result.json")} - before
        return Result.load(path)

    return call


def nearly_alike(there, ours):
    """One image of 48 may be answered otherwise; the data set is another one."""
    assert there.metrics["error_pct"] == pytest.approx(ours.metrics["error_pct"], abs=100 / 48)
    assert there.metrics["nll"] == pytest.approx(ours.metrics["nll"], rel=1e-2)
    before = "clean_error_before_pct"
    assert there.metrics[before] == pytest.approx(ours.metrics[before], abs=100 / 24)
    assert there.stream.protocol_sha256 != ours.stream.protocol_sha256
    assert there.data.identity["content_sha256"] == ours.data.identity["content_sha256"]


def test_a_whole_run_on_the_cpu_takes_images_from_a_device(recorded, places, monkeypatch):
    ours = recorded("compute.device=cpu")
    assert {*places} == {"cpu"}
    places.clear()
    with another_device() as device:
        elsewhere = property(lambda data: device.type, lambda data, asked: None)
        monkeypatch.setattr(DigitsC, "corrupt_on", elsewhere, raising=False)
        nearly_alike(recorded("compute.device=cpu"), ours)
    assert {*places} == {device.type}


@pytest.mark.gpu
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_a_whole_run_of_a_cuda_device(where, recorded, places):
    ours = recorded(f"compute.device={where}")
    places.clear()
    cuda = [f"compute.device={where}", "dataset.corrupt_on=cuda"]
    there = recorded(*cuda)
    assert {*places} == {"cuda"}
    nearly_alike(there, ours)
    ahead = recorded(*cuda, "compute.prefetch=2", "paths.runs=ahead/runs", "--force")
    assert ahead.trace_sha256 == there.trace_sha256


def test_only_another_device_is_part_of_the_identity(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    plain, cpu, cuda = DigitsC(), DigitsC(corrupt_on="cpu"), DigitsC(corrupt_on="cuda")
    assert cpu.identity == plain.identity
    assert cuda.identity == {**plain.identity, "corrupt_on": "cuda"}
    streams = [CorruptionStream(data).protocol_sha256 for data in (plain, cpu, cuda)]
    assert streams[0] == streams[1]
    assert streams[0].startswith("d3581bea58ba56cf")  # frozen: stored results have it
    assert streams[2] != streams[0]
    config = {key: {} for key in DECIDING}
    runs = [
        run_identity({**config, "dataset": node})
        for node in ({}, {"corrupt_on": "cpu"}, {"corrupt_on": "cuda"})
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("cuda", "corrupt_on: expected a CUDA device, got none here; type dataset.corrupt_on=cpu"),
        ("tpu", "corrupt_on: expected Literal['cpu', 'cuda'], got 'tpu'"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(value, words, ctta, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, _, err = ctta("run", *QUICK, f"dataset.corrupt_on={value}")
    assert status != 0
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_folder_of_images_takes_the_switch_too(tmp_path, monkeypatch):
    miniature.jpeg(tmp_path / "own" / "cat" / "a.jpg", 0)
    values = {"root": tmp_path, "base": str(tmp_path / "own"), "resize": 40, "crop": 32}
    with pytest.raises(ValueError, match="corrupt_on: expected cpu or cuda, got 'tpu'"):
        corrupted(**values, corrupt_on="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert corrupted(**values, corrupt_on="cuda").identity["corrupt_on"] == "cuda"
