"""The whole CUDA kernels and their Python side, run on the host, against the reference."""

import copy
import math

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from ctta import kernels
from ctta.kernels import gpu, gpu_tables, reference
from ctta.kernels.draws import BLOCK, Draw

SIZES = [9408, 64, 1, 0, 4503, 4096, 127, 8190, 3, 0]  # blocks span tensors, tensors span blocks
ALIGNED, SHIFTED = [0] * len(SIZES), [1, 2, 3, 0, 4, 6, 1, 2, 5, 1]
PLACES = pytest.mark.parametrize("shifts", [ALIGNED, SHIFTED], ids=["aligned", "shifted"])
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
GUARD = 8


class Memory:
    """Tensors of `SIZES` in one buffer, each a few elements beyond where a vector could begin."""

    def __init__(self, dtype, seed, shifts=ALIGNED):
        generator = torch.Generator().manual_seed(seed)
        room = [size + 2 * GUARD + (-size) % GUARD for size in SIZES]
        self.whole = torch.randn(sum(room), generator=generator, dtype=torch.float64).to(dtype)
        self.inside = torch.zeros(sum(room), dtype=torch.bool)
        self.tensors, at = [], 0
        for size, space, shift in zip(SIZES, room, shifts, strict=True):
            self.tensors.append(self.whole[at + shift : at + shift + size])
            self.inside[at + shift : at + shift + size] = True
            at += space


def gradients(dtype, shifts=ALIGNED):
    """With zeros, ties, squares that underflow, and two that are absent."""
    own = Memory(dtype, 9, shifts).tensors
    own[0][:3000], own[5][:500] = 0, 0.5
    own[1] *= torch.finfo(dtype).tiny ** 0.5
    return [*own[:6], None, *own[7:9], None]


def compare(same_bits, call, *memories):
    """``call(form, *tensors)`` leaves the same bits in ``memories``, and around the tensors."""
    found = []
    for form in (reference, gpu):
        own = copy.deepcopy(memories)
        returned = call(form, *(m.tensors for m in own))
        found.append([m.whole for m in own] + ([] if returned is None else [returned]))
    for theirs, mine in zip(*found, strict=True):
        same_bits(mine, theirs)
    for memory, after in zip(memories, found[1], strict=False):
        assert torch.equal(after[~memory.inside], memory.whole[~memory.inside])


@BOTH
@PLACES
@pytest.mark.parametrize("decays", [[0.999] * 10, [0.9, 0.99, 0.0, 1.0, 0.5] * 2])
def test_ema(on_host, same_bits, dtype, shifts, decays):
    student = Memory(dtype, 1, shifts).tensors
    compare(same_bits, lambda form, t: form.ema_(t, student, decays), Memory(dtype, 0, shifts))
    assert on_host == ["average"]


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
@PLACES
def test_a_student_of_half_the_width(on_host, same_bits, narrow, shifts):
    teacher, student = Memory(torch.float32, 0), Memory(narrow, 1, shifts)
    start, draw = Memory(narrow, 2).tensors, Draw(0.05, 3, 4)

    def call(form, t, s):
        form.ema_(t, s, [0.9] * 10)
        form.ema_restore_(t, s, start, [0.99] * 10, draw)

    compare(same_bits, call, teacher, student)


@pytest.mark.parametrize("prob", [0.0, 1e-5, 0.001, 0.01, 0.1, 0.2499, 0.25, 0.9, 1.0])
@PLACES
def test_restore_and_the_fused_form(on_host, same_bits, prob, shifts):
    dtype = torch.float32
    start, draw = Memory(dtype, 2, shifts).tensors, Draw(prob, 2**40 + 3, 2**32 - 1)
    teacher, student = Memory(dtype, 0, shifts), Memory(dtype, 1, shifts)
    compare(same_bits, lambda form, s: form.restore_(s, start, draw), student)
    compare(same_bits, lambda form, t, s: form.ema_restore_(t, s, start, [0.999] * 10, draw),
            teacher, student)  # fmt: skip
    assert on_host == (["restore", "average_restore"] if prob else ["average"])


def test_restore_in_float64(on_host, same_bits):
    start, draw = Memory(torch.float64, 2).tensors, Draw(0.03, 5, 6)
    compare(same_bits, lambda form, s: form.restore_(s, start, draw), Memory(torch.float64, 1))


@BOTH
@PLACES
def test_restore_where(on_host, same_bits, dtype, shifts):
    start = Memory(dtype, 2, shifts).tensors
    masks = [t > 1 for t in Memory(dtype, 3).tensors]
    compare(same_bits, lambda form, s: form.restore_where_(s, start, masks), Memory(dtype, 1))


@BOTH
@pytest.mark.parametrize("level", [0.0, 0.001, 0.03, 0.2, 0.5, 0.97, 1.0])
def test_quantile(on_host, same_bits, dtype, level):
    own, like = gradients(dtype), Memory(dtype, 1).tensors
    compare(same_bits, lambda form: form.squared_quantile(own, like, level))
    assert on_host == ["count_digits", "choose_digit"] * len(gpu.DIGITS[dtype])


@BOTH
@pytest.mark.parametrize("level", [0.0, 0.1, 0.4, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("values", [
    [3.0, math.nan, 1.0, 2.0, -1.0], [-math.nan, math.inf, -math.inf], [1.0, 1e-30], [0.0],
    [1.0, 1.0 + 2**-22, 1.0 + 2**-12, 1.0 + 2**-5, 2.0], [5.0, -5.0] * 40,
])  # fmt: skip
def test_quantile_of_few(on_host, same_bits, dtype, level, values):
    own = [torch.tensor(values, dtype=dtype)]
    compare(same_bits, lambda form: form.squared_quantile(own, own, level))


@pytest.mark.parametrize("part", [1, 50, 10**9], ids=["room for all", "for some", "for one"])
def test_quantile_whether_or_not_the_keys_find_room(on_host, same_bits, monkeypatch, part):
    monkeypatch.setattr(gpu, "KEPT_PART", part)
    own, like = gradients(torch.float64), Memory(torch.float64, 1).tensors
    own[0][3000:7000] = 0.7  # more of one key than a block has room for
    for level in (0.01, 0.3, 0.6):
        compare(same_bits, lambda form, at=level: form.squared_quantile(own, like, at))


def test_quantile_at_many_ranks(on_host, same_bits):
    own = [torch.randn(97, generator=torch.Generator().manual_seed(4)).mul_(100).round_()]
    for rank in range(0, 97, 6):
        compare(same_bits, lambda form, r=rank: form.squared_quantile(own, own, (r + 0.3) / 97))


def test_quantile_of_nothing_is_refused(on_host):
    with pytest.raises(ValueError, match="at least one element"):
        gpu.squared_quantile([torch.empty(0)], [torch.empty(0)], 0.5)


@BOTH
@PLACES
@pytest.mark.parametrize("level", [0.0, 0.03, 0.5])
def test_fisher_updates(on_host, same_bits, dtype, shifts, level):
    own, start = gradients(dtype, shifts), Memory(dtype, 2, shifts).tensors
    teacher, student = Memory(dtype, 0, shifts), Memory(dtype, 1, shifts)
    own[2][:] = math.nan
    threshold = reference.squared_quantile(own, student.tensors, level)
    for name in ("fisher_restore_", "fisher_restore_twice_"):
        compare(same_bits, lambda form, t, s, name=name: getattr(form, name)(
            t, s, start, own, threshold, 0.99), teacher, student)  # fmt: skip
    compare(same_bits, lambda form, t: form.masked_ema_(
        t, student.tensors, own, threshold, 0.99), teacher)  # fmt: skip
    assert on_host == ["fisher_restore", "fisher_restore_twice", "masked_average"]


def block_sums(terms):
    """Sums of 4,096, thread by thread and then by halves, as the kernel adds."""
    while len(terms) > 1:
        padded = np.zeros(-(-len(terms) // BLOCK) * BLOCK)
        padded[: len(terms)] = terms
        lanes = padded.reshape(-1, BLOCK // 256, 256)
        sums = lanes[:, 0].copy()
        for i in range(1, BLOCK // 256):
            sums += lanes[:, i]
        while sums.shape[1] > 1:
            half = sums.shape[1] // 2
            sums = sums[:, :half] + sums[:, half:]
        terms = sums[:, 0]
    return terms[0]


@BOTH
@PLACES
def test_quadratic_prior(on_host, same_bits, dtype, shifts):
    parameters, mean, weights = (Memory(dtype, seed, shifts).tensors for seed in (1, 2, 3))
    values = []

    def call(form, g):
        values.append(form.quadratic_prior_(g, parameters, mean, weights, 0.05))

    compare(same_bits, call, Memory(dtype, 0, shifts))
    terms = torch.cat([w * (p - m).square()
                       for p, m, w in zip(parameters, mean, weights, strict=True)])  # fmt: skip
    assert values[1].dtype == torch.float64 and values[1].shape == ()
    assert values[1].item() == block_sums(terms.double().numpy())
    assert values[1].item() == pytest.approx(values[0].item(), rel=1e-12)


@pytest.mark.parametrize("odd", range(4))
def test_vectors_need_every_group_aligned(on_host, same_bits, odd):
    def memory(seed):
        return Memory(torch.float32, seed, [1] * len(SIZES) if seed == odd else ALIGNED)

    teacher, student, start, last = (memory(seed) for seed in range(4))
    masks = [torch.zeros(n + 1, dtype=torch.bool)[odd % 2 :][:n] for n in SIZES]
    for mask in masks:
        mask[::7] = True
    threshold = torch.tensor(0.01)

    def call(form, t, s, a, g):
        form.ema_(t, s, [0.9] * 10)
        form.ema_restore_(t, s, a, [0.9] * 10, Draw(0.02, 1, 2))
        form.fisher_restore_(t, s, a, g, threshold, 0.9)
        form.masked_ema_(t, s, g, threshold, 0.9)
        form.restore_where_(s, a, masks)
        form.quadratic_prior_(g, t, s, a, 0.1)

    compare(same_bits, call, teacher, student, start, last)


FORMS = [
    ("cuda", [torch.float32, torch.float32], "gpu"),
    ("cuda", [torch.float64, torch.float64, torch.float64], "gpu"),
    ("cuda", [torch.float32, torch.bool], "gpu"),
    ("cuda", [torch.float32, torch.bfloat16], "gpu"),
    ("cuda", [torch.float32, torch.float16, torch.float16], "gpu"),
    ("cuda", [torch.bfloat16, torch.float32], "reference"),
    ("cuda", [torch.float64, torch.bfloat16], "reference"),
    ("cuda", [torch.float32, torch.float64], "reference"),
    ("cuda", [torch.bfloat16, torch.bfloat16], "reference"),
    ("cpu", [torch.float32, torch.float32], "cpu"),
    ("cpu", [torch.float32, torch.bfloat16], "reference"),
    ("meta", [torch.float32, torch.float32], "reference"),
]


@pytest.mark.parametrize(("device", "types", "form"), FORMS)
def test_the_form_follows_devices_and_types(monkeypatch, device, types, form):
    with FakeTensorMode():
        groups = [[torch.empty(3, dtype=t, device=device), None] for t in types]
        gaps = [[torch.empty_strided((4, 1), (2, 1), dtype=t, device=device)] for t in types]
    for cupy in (True, False):
        monkeypatch.setattr(kernels, "has_cupy", lambda cupy=cupy: cupy)
        expected = form if cupy or form != "gpu" else "reference"
        assert kernels.fastest(groups, narrow_student=True) == expected
        assert kernels.form(*gaps, narrow_student=True)[0] is reference
    monkeypatch.setattr(kernels, "has_cupy", lambda: True)
    narrow = form == "gpu" and len({*types} - {torch.bool}) == 2
    expected = "reference" if narrow else form
    assert kernels.fastest(groups, narrow_student=False) == expected


def test_nothing_to_do(on_host):
    empty = [torch.empty(0), torch.empty(0)]
    gpu.ema_(empty, empty, [0.9, 0.9])
    gpu.restore_(empty, empty, Draw(0.1, 0, 0))
    assert gpu.quadratic_prior_(empty, empty, empty, empty, 1.0) == 0


def test_tensors_of_other_sizes_are_refused(on_host):
    teacher = [torch.zeros(3), torch.zeros(4)]
    with pytest.raises(ValueError, match="got 5 elements beside 4 in tensor 1"):
        gpu.ema_(teacher, [torch.zeros(3), torch.zeros(5)], [0.9, 0.9])
    with pytest.raises(ValueError, match="argument"):
        gpu.ema_(teacher, teacher[:1], [0.9, 0.9])
    with pytest.raises(ValueError, match="a decay for each of 2 tensors, got 1"):
        gpu.ema_(teacher, teacher, [0.9])


def test_tables_are_made_once_for_the_same_tensors(on_host, monkeypatch):
    made = []
    table = gpu_tables.gpu_device.Table
    monkeypatch.setattr(gpu_tables.gpu_device, "Table",
                        lambda *given: made.append(1) or table(*given))  # fmt: skip
    teacher, student = Memory(torch.float32, 0).tensors, Memory(torch.float32, 1).tensors
    gpu.ema_(teacher, student, [0.9] * 10)
    assert len(made) == 4
    gpu.ema_(teacher, student, [0.8] * 10)
    assert len(made) == 4
    gpu.ema_(student, [t.clone() for t in teacher], [0.8] * 10)
    assert len(made) == 5


def test_old_tables_go_unless_a_graph_holds_them(on_host, monkeypatch):
    monkeypatch.setattr(gpu_tables, "KEPT", 3)
    device = torch.device("cpu")
    gpu_tables.table("in a graph", device, lambda: np.zeros(1))
    gpu_tables._tables[device, "in a graph"].captured = True
    for key in range(9):
        gpu_tables.table(key, device, lambda: np.zeros(1))
        gpu_tables.table(0, device, lambda: np.zeros(1))
    assert {key for _, key in gpu_tables._tables} == {"in a graph", 0, 7, 8}
