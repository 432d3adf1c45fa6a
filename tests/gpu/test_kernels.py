"""The kernels on a device against the reference on the CPU, bit for bit; graphs and streams."""

import copy
import importlib.util
import math

import pytest
import torch

from ctta import kernels
from ctta.kernels import Draw

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    pytest.mark.skipif(
        importlib.util.find_spec("cupy") is None,
        reason="no CuPy here: install ctta[cuda12] or ctta[cuda13]",
    ),
]

DEVICE = "cuda"
SHAPES = [(256, 64, 3, 3), (64,), (1,), (0,), (1503, 3), (4096,), (127,), (1000, 768), (3,)]
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SHIFTS = pytest.mark.parametrize("shift", [0, 1, 4], ids=["aligned", "by 1", "by 4"])


def tensors(seed, dtype=torch.float32, shift=0):
    """On the CPU, each `shift` elements beyond the beginning of its storage."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in SHAPES:
        whole = torch.randn(math.prod(shape) + shift, generator=generator, dtype=torch.float64)
        made.append(whole.to(dtype)[shift:].view(shape))
    return made


def gradients(dtype=torch.float32, shift=0):
    """With zeros, ties, squares that underflow, a NaN and one that is absent."""
    own = tensors(9, dtype, shift)
    own[0][:100], own[5][:500] = 0, 0.5
    own[1] *= torch.finfo(dtype).tiny ** 0.5
    own[6][3] = math.nan
    return [*own[:4], None, *own[5:]]


def on_device(group, shift=0):
    """Copies on the device that lie as far beyond a vector's beginning."""
    moved = []
    for t in group:
        if t is None:
            moved.append(None)
            continue
        whole = torch.empty(t.numel() + shift, dtype=t.dtype, device=DEVICE)
        whole[shift:] = t.flatten().to(DEVICE)
        moved.append(whole[shift:].view(t.shape))
    return moved


def same(mine, theirs):
    """Equal bits; two NaN may differ in theirs."""
    mine, theirs = mine.cpu(), theirs.cpu()
    assert mine.dtype == theirs.dtype
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[mine.element_size()]
    equal = (mine.view(whole) == theirs.view(whole)) | (mine.isnan() & theirs.isnan())
    assert equal.all(), f"{(~equal).sum()} of {equal.numel()} elements differ"


def compare(call, *groups, shift=0):
    """``call(*groups)`` leaves the same bits in `groups` there and, by the reference, here."""
    here = copy.deepcopy(groups)
    with kernels.use_reference():
        expected = call(*here)
    there = [on_device(group, shift) for group in groups]
    with kernels.recorded() as ran:
        found = call(*there)
    assert ran == {"gpu"}
    for mine, theirs in zip(there, here, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            if one is not None:
                same(one, other)
    if expected is not None:
        same(found, expected)


@BOTH
@SHIFTS
@pytest.mark.parametrize("decay", [0.999, [0.9, 0.99, 0.0, 1.0, 0.5, 0.1, 0.2, 0.3, 0.4]])
def test_ema(dtype, shift, decay):
    compare(lambda t, s: kernels.ema_(t, s, decay), tensors(0, dtype), tensors(1, dtype),
            shift=shift)  # fmt: skip


@SHIFTS
@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_a_narrow_student(shift, narrow):
    draw = Draw(0.05, 3, 4)

    def call(t, s, start):
        kernels.ema_(t, s, 0.9)
        kernels.ema_restore_(t, s, start, 0.99, draw)

    compare(call, tensors(0), tensors(1, narrow), tensors(2, narrow), shift=shift)


def test_other_types_take_the_reference():
    student = on_device(tensors(1))
    for dtype in (torch.bfloat16, torch.float64):
        with kernels.recorded() as ran:
            kernels.ema_(on_device(tensors(0, dtype)), student, 0.9)
        assert ran == {"reference"}


@BOTH
@SHIFTS
@pytest.mark.parametrize("prob", [0.0, 1e-5, 0.001, 0.01, 0.1, 0.2499, 0.25, 0.9, 1.0])
def test_masks_are_those_of_the_cpu(dtype, shift, prob):
    draw = Draw(prob, 2**40 + 3, 7)
    teacher, student, start = (tensors(seed, dtype) for seed in range(3))
    compare(lambda s, a: kernels.restore_(s, a, draw), student, start, shift=shift)
    compare(lambda t, s, a: kernels.ema_restore_(t, s, a, 0.999, draw), teacher, student, start,
            shift=shift)  # fmt: skip


@BOTH
@SHIFTS
def test_restore_where(dtype, shift):
    masks = [t > 1 for t in tensors(3, dtype)]
    compare(kernels.restore_where_, tensors(1, dtype), tensors(2, dtype), masks, shift=shift)


@BOTH
@SHIFTS
@pytest.mark.parametrize("level", [0.0, 0.001, 0.03, 0.5, 0.97, 1.0])
def test_quantile(dtype, shift, level):
    compare(lambda g, p: kernels.squared_quantile(g, p, level), gradients(dtype),
            tensors(1, dtype), shift=shift)  # fmt: skip


@BOTH
def test_quantile_of_ties_and_of_many_elements(dtype):
    generator = torch.Generator().manual_seed(1)
    zeros = torch.zeros(3_000_000, dtype=dtype)
    many = torch.randn(3_000_001, generator=generator, dtype=torch.float64).to(dtype)
    for own in ([zeros], [many], [zeros, many], [many.sign()]):
        compare(lambda g: kernels.squared_quantile(g, g, 0.03), own)


@BOTH
@SHIFTS
@pytest.mark.parametrize("level", [0.0, 0.03, 0.5])
def test_fisher_updates(dtype, shift, level):
    own, like = gradients(dtype), tensors(1, dtype)
    threshold = kernels.squared_quantile(own, like, level)
    groups = (tensors(0, dtype), like, tensors(2, dtype), own)
    for twice in (False, True):
        compare(lambda t, s, a, g, h, twice=twice: kernels.fisher_restore_(
            t, s, a, g, h[0], 0.99, twice=twice), *groups, [threshold], shift=shift)  # fmt: skip
    compare(lambda t, s, g, h: kernels.masked_ema_(t, s, g, h[0], 0.99), groups[0], like, own,
            [threshold], shift=shift)  # fmt: skip


@BOTH
@SHIFTS
def test_quadratic_prior(dtype, shift):
    found = []

    def call(g, p, m, w):
        found.append(kernels.quadratic_prior_(g, p, m, w, 0.05))

    groups = [tensors(seed, dtype) for seed in range(4)]
    compare(call, *groups, shift=shift)
    assert found[1].dtype == torch.float64
    assert found[1].item() == pytest.approx(found[0].item(), rel=1e-12)
    again = [on_device(group, shift) for group in groups]
    assert kernels.quadratic_prior_(*again, 0.05) == found[1]


class Update:
    """All functions, one after the other, on tensors that stay where they are."""

    def __init__(self):
        self.teacher, self.student, self.start, self.mean = (
            on_device(tensors(seed)) for seed in range(4)
        )
        self.gradients = on_device([torch.randn(s) for s in SHAPES])
        self.values = []

    def __call__(self):
        own = self.gradients
        value = kernels.quadratic_prior_(own, self.student, self.mean, self.start, 0.05)
        threshold = kernels.squared_quantile(own, self.student, 0.03)
        kernels.fisher_restore_(self.teacher, self.student, self.start, own, threshold, 0.99)
        kernels.fisher_restore_(
            self.teacher, self.student, self.start, own, threshold, 0.9, twice=True
        )
        kernels.masked_ema_(self.teacher, self.student, own, threshold, 0.9)
        kernels.ema_(self.teacher, self.student, 0.999)
        kernels.ema_restore_(self.teacher, self.student, self.start, 0.99, Draw(0.1, 1, 2))
        kernels.restore_(self.student, self.start, Draw(0.5, 1, 3))
        self.values = [value, threshold]

    def state(self):
        return [t.clone() for t in (*self.teacher, *self.student, *self.gradients, *self.values)]


def twin(update):
    """A copy on the same bits."""
    other = Update()
    for name in ("teacher", "student", "start", "mean", "gradients"):
        for mine, theirs in zip(getattr(other, name), getattr(update, name), strict=True):
            mine.copy_(theirs)
    return other


def test_nothing_waits_for_the_device():
    update = Update()
    update()  # compiles
    fresh = twin(update)
    torch.cuda.set_sync_debug_mode("error")
    try:
        fresh()  # new tables
        update()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_capture_and_replay():
    update = Update()
    update()
    plain = twin(update)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    for _ in range(3):
        graph.replay()
        plain()
        torch.cuda.synchronize()
        for mine, theirs in zip(update.state(), plain.state(), strict=True):
            same(mine, theirs)


def test_new_tensors_inside_a_capture_are_refused():
    update = Update()
    update()
    fresh = twin(update)
    with (
        pytest.raises(ValueError, match="before the capture"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        fresh()
    torch.cuda.synchronize()


def test_side_streams():
    update, side = Update(), torch.cuda.Stream()
    plain = twin(update)
    for _ in range(5):
        torch.cuda._sleep(10_000_000)  # whoever runs on the wrong stream comes too early
        for t in update.teacher:
            t.mul_(1.5)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            torch.cuda._sleep(10_000_000)
            for t in update.student:
                t.mul_(0.5)
            update()
            for t in update.student:
                t.mul_(0.25)
        torch.cuda.current_stream().wait_stream(side)
        update()
        for t in plain.teacher:
            t.mul_(1.5)
        for t in plain.student:
            t.mul_(0.5)
        plain()
        for t in plain.student:
            t.mul_(0.25)
        plain()
    torch.cuda.synchronize()
    for mine, theirs in zip(update.state(), plain.state(), strict=True):
        same(mine, theirs)


def test_a_backward_over_a_moved_weight_is_refused():
    weight = torch.nn.Parameter(torch.randn(100, device=DEVICE))
    loss = weight.square().sum()
    kernels.restore_([weight], [torch.zeros(100, device=DEVICE)], Draw(0.5, 0, 0))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_memory_is_at_most_two_bytes_a_parameter():
    update = Update()
    update()
    n = sum(t.numel() for t in update.teacher)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    update()
    assert torch.cuda.max_memory_allocated() - before <= 2 * n


def test_addresses_of_a_memory_used_again():
    student = on_device(tensors(1))
    for seed in range(4):
        teacher = on_device(tensors(seed))
        expected = [0.9 * t + (1 - 0.9) * s for t, s in zip(teacher, student, strict=True)]
        kernels.ema_(teacher, student, 0.9)
        for mine, theirs in zip(teacher, expected, strict=True):
            same(mine, theirs)
        del teacher
