"""What runs off the host: on a CUDA device where there is one, and on a pretended one."""

import copy
from pathlib import Path

import pytest
import torch
from harness import method_class, method_name, read_case, replay
from test_registered_methods import METHODS, maker

from ctta.counter import Rows
from ctta.data.corruptions import ALL, corrupt
from ctta.data.digits import DigitsC
from ctta.models.digits import TinyCNN
from ctta.online.loop import run_online
from ctta.streams.stream import CorruptionStream
from ctta.testing import batches, prepared, tiny_cnn
from ctta.testing.device import another_device

SLIM = Path(__file__).parents[1] / "golden_data"
GOLDEN = {file.parent.name: file for file in sorted(SLIM.glob("*/*.npz"))}
IDS = torch.tensor([3, 1 << 33, 0, 7])

# Loading there looks to torch as if nothing was loaded.
pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")


@pytest.fixture(
    params=[
        pytest.param("cuda", marks=pytest.mark.gpu),
        pytest.param("pretended", marks=pytest.mark.slow),
    ]
)
def device(request):
    if request.param == "cuda":
        yield torch.device("cuda")
    else:
        with another_device() as pretended:
            yield pretended


@pytest.mark.parametrize("name", METHODS)
def test_a_method_answers_as_on_the_host(name, device):
    """Reset, loaded and copied it stays there."""
    make = prepared(maker(name))
    plain, there = make(tiny_cnn()), make(tiny_cnn().to(device))
    for x in batches(3):
        for ask in ("__call__", "predict"):
            expected, found = getattr(plain, ask)(x), getattr(there, ask)(x.to(device))
            assert found.device.type == device.type
            torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-4)
    state = there.state_dict()
    there.reset()
    there.load_state_dict(state)
    assert copy.deepcopy(there)(x.to(device)).device.type == device.type


@pytest.mark.parametrize("name", [name for name in METHODS if name in GOLDEN])
def test_golden_traces_hold(name, device, monkeypatch):
    """One file a method; ``pytest tests/golden --golden-device cuda`` replays the others."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # not with products of 10 bits
    file = GOLDEN[name]
    report = replay(read_case(file), method_class(method_name(file)), device.type)
    if report.undecided:
        pytest.skip(f"undecided here: {report.undecided}")
    assert not report.failures, "\n".join(report.failures)


@pytest.mark.parametrize("options", [{}, {"window": 32}, {"eta": 0.5}, {"prefetch": 2}])
def test_a_stream_runs_through(options, device):
    """The trace is the host's, to rounding."""
    stream = CorruptionStream(DigitsC(corruptions=["fog", "snow"], n_images=40), batch_size=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TinyCNN()
    traces = [
        run_online(maker("cotta")(model.to(where)), stream, device=where, **options)
        for where in (torch.device("cpu"), device)
    ]
    expected, found = (torch.tensor(trace.samples["label_logprob"]) for trace in traces)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["words", "uniform", "normal"])
def test_draws_are_the_hosts(kind, device):
    ours, there = (
        getattr(Rows(IDS.to(where), stream=3, seed=11), kind)(9, 401) for where in ("cpu", device)
    )
    assert torch.equal(there.cpu(), ours)


@pytest.mark.parametrize("name", ALL)
def test_corruptions_are_the_hosts_but_for_rounding(name, device):
    x = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    ours, there = (
        corrupt(x.to(where, torch.uint8), name, 3, image_ids=IDS.to(where), seed=4)
        for where in ("cpu", device)
    )
    assert there.device.type == device.type
    gap = (there.cpu().int() - ours.int()).abs()
    assert float((gap > 0).double().mean()) < 0.15
    assert int(gap.max()) <= 2
