"""A run that does not fit into the memory says so before it starts, and none is refused wrongly."""

import json

import pytest
import torch
from torch import nn

from ctta.models.pieces import peak_bytes
from ctta.models.source import WrappedModel
from ctta.online import memory as module
from ctta.online.memory import MIB, Memory, control_groups, memory_of_process, need, shortage

CPU = torch.device("cpu")
SHAPE = torch.Size([6, 3, 10, 10])


def model(*, trained=False, training=False):
    layers = [
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(16 * 64, 5),
    ]
    made = WrappedModel(nn.Sequential(*layers), name="m", image_shape=(3, 10, 10))
    return made.requires_grad_(trained).train(training)


def test_the_bound_is_input_and_output_of_the_largest_layer():
    found = need(model(), SHAPE, device=CPU, dtype=torch.float32)
    assert found.layer == 4 * 6 * (3 * 100 + 16 * 64)
    assert found.layer < found.likely
    tensors = model().state_dict().values()
    assert found.weights == sum(value.nbytes for value in tensors)


@pytest.mark.parametrize("trained", [False, True])
def test_the_estimate_is_what_a_real_forward_takes(trained):
    made = model(trained=trained)
    real = peak_bytes(made, torch.rand(SHAPE))
    moments = 3 * sum(4 * p.numel() for p in made.parameters()) if trained else 0
    assert need(made, SHAPE, device=CPU, dtype=torch.float32).likely == real + moments


def test_below_float32_it_is_less():
    sizes = [
        need(model(), SHAPE, device=CPU, dtype=d).layer for d in (torch.float32, torch.bfloat16)
    ]
    assert sizes[1] < sizes[0]


def test_asking_changes_nothing():
    made = model(trained=True, training=True)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    drawn = torch.get_rng_state()
    assert need(made, SHAPE, device=CPU, dtype=torch.float32)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert all(p.grad is None for p in made.parameters())


def test_a_network_that_looks_at_values_is_let_through(monkeypatch):
    class Looks(nn.Linear):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) > 0 else x

    made = WrappedModel(nn.Sequential(nn.Flatten(), Looks(300, 5)), name="m", image_shape=SHAPE[1:])
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=1, free=1))
    assert need(made, SHAPE, device=CPU, dtype=torch.float32) is None
    assert shortage(made, SHAPE, device=CPU, dtype=torch.float32) is None


def test_certain_shortage_is_an_error_with_a_batch_that_fits(monkeypatch):
    large = torch.Size([60_000, 3, 10, 10])
    found = need(model(), large, device=CPU, dtype=torch.float32)
    whole = found.weights + found.layer
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=whole - 1, free=0))
    with pytest.raises(ValueError, match="too little memory") as refused:
        shortage(model(), large, device=CPU, dtype=torch.float32)
    size = int(str(refused.value).partition("stream.batch_size=")[2].split()[0])
    fits = need(model(), torch.Size([size, 3, 10, 10]), device=CPU, dtype=torch.float32)
    assert 59_000 < size < 60_000
    assert fits.weights + fits.layer <= whole - 1
    assert f"at least {whole // MIB} MiB" in str(refused.value)
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=found.weights, free=0))
    with pytest.raises(ValueError, match=r"choose a smaller model=\.\.\."):
        shortage(model(), large, device=CPU, dtype=torch.float32)
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=whole, free=0))
    text = shortage(model(), large, device=CPU, dtype=torch.float32)  # it may just fit
    assert text.startswith("memory may not suffice: a forward of 60000 images")
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=10 * whole, free=10 * whole))
    assert shortage(model(), large, device=CPU, dtype=torch.float32) is None


def machine(root, **groups):
    """A root folder with a machine of 1000 MiB, 600 free and no swap, and files of groups."""
    kinds = {"MemTotal": 1000, "MemAvailable": 600, "SwapTotal": 0}
    files = {
        "proc/meminfo": "".join(f"{k}: {v * 1024} kB\n" for k, v in kinds.items()) + "Huge: 0\n",
        **groups,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_groups_it_is_the_machine(tmp_path):
    found = memory_of_process(machine(tmp_path))
    assert found == Memory(most=1000 * MIB, free=600 * MIB)


def test_a_group_around_the_process_limits_it(tmp_path):
    outer, inner = "sys/fs/cgroup/job", "sys/fs/cgroup/job/step"
    root = machine(
        tmp_path,
        **{
            "proc/self/cgroup": "0::/job/step\n",
            f"{inner}/memory.max": "max\n",
            f"{inner}/memory.current": "1\n",
            f"{inner}/memory.stat": "anon 0\ninactive_file 0\n",
            f"{outer}/memory.max": f"{500 * MIB}\n",
            f"{outer}/memory.current": f"{300 * MIB}\n",
            f"{outer}/memory.stat": f"anon 0\ninactive_file {50 * MIB}\n",
        },
    )
    assert list(control_groups(root)) == [(500 * MIB, 250 * MIB)]
    assert memory_of_process(root) == Memory(most=500 * MIB, free=250 * MIB)


def test_a_group_of_the_first_version_limits_it(tmp_path):
    base = "sys/fs/cgroup/memory"
    root = machine(
        tmp_path,
        **{
            "proc/self/cgroup": "3:cpu:/job\n2:hugetlb,memory:/not/seen\n",
            f"{base}/memory.limit_in_bytes": f"{500 * MIB}\n",
            f"{base}/memory.usage_in_bytes": f"{450 * MIB}\n",
            f"{base}/memory.stat": f"cache 1\ntotal_inactive_file {20 * MIB}\n",
        },
    )
    assert memory_of_process(root) == Memory(most=500 * MIB, free=70 * MIB)


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path):
    assert memory_of_process(tmp_path) is None


QUICK = ["method=norm", "dataset.corruptions=[fog]", "dataset.n_images=100"]


def test_a_run_says_it_before_it_starts(ctta, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=MIB // 4, free=MIB // 4))
    status, _, err = ctta("run", *QUICK, "stream.batch_size=100")
    assert status == 1
    assert "too little memory: a forward of 100 images" in err
    (path,) = (tmp_path / "runs").glob("*/result.json")
    assert json.loads(path.read_text())["status"] == "failed"
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=1000 * MIB, free=MIB))
    status, _, err = ctta("run", *QUICK, "stream.batch_size=100")
    assert (status, err.count("memory may not suffice: a forward of 100 images")) == (0, 1)


def test_one_in_pieces_is_let_through(ctta, monkeypatch):
    monkeypatch.setattr(module, "memory", lambda _: Memory(most=1, free=1))
    pieces = ["method=source", "compute.memory_mib=2"]
    status, _, err = ctta("run", *QUICK, *pieces, "stream.batch_size=100")
    assert status == 0, err


@pytest.mark.gpu
def test_the_memory_of_a_gpu():
    device = torch.device("cuda")
    before = module.memory(device)
    held = torch.empty(100 * MIB, dtype=torch.uint8, device=device)
    after = module.memory(device)
    assert after.most == before.most
    assert after.free <= before.free - held.nbytes
    found = need(model(trained=True).cuda(), SHAPE, device=device, dtype=torch.float16)
    assert 0 < found.layer < found.likely
