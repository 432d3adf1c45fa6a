"""The CUDA sources' functions of one element, compiled by g++, against torch and known answers."""

import ctypes

import numpy as np
import pytest
import torch

from ctta.kernels import reference
from ctta.kernels.draws import gap_table

# Random123's known answers for philox4x32 with 10 rounds.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def words_of(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


def pointer(array):
    at = array.data_ptr() if isinstance(array, torch.Tensor) else array.ctypes.data
    return ctypes.c_void_p(at)


def hard_numbers(dtype, seed, n=4001):
    """Ordinary ones, subnormal ones, ties, zeros of both signs, infinities and NaN."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=generator, dtype=dtype)
    tiny = torch.finfo(dtype).tiny
    x[:500] *= tiny
    x[500:1000] *= tiny**0.5
    x[1000:1200] = 0.25
    x[1200:1300] = -0.0
    x[1300:1310] *= torch.finfo(dtype).max / 4
    x[1310:1316] = torch.tensor([0.0, np.inf, -np.inf, np.nan, tiny, -tiny])
    return x[torch.randperm(n, generator=generator)]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_philox_vectors(library, counter, key, expected):
    out = np.empty(4, np.uint32)
    own = library(torch.float32, torch.float32)
    own.element_philox(pointer(words_of(counter)), pointer(words_of(key)), pointer(out))
    assert out.tolist() == words_of(expected).tolist()


@pytest.mark.parametrize("prob", [1e-5, 0.001, 0.01, 0.1, 0.2499])
def test_gaps_are_those_of_the_table(library, prob):
    table = gap_table(prob)
    random = np.random.default_rng(1).integers(0, 1 << 32, 20_000, dtype=np.uint64)
    edges = table.thresholds.astype(np.uint64)
    words = np.concatenate([random, edges, edges - np.uint64(1), edges + np.uint64(1)])
    words = np.append(words, np.uint64([0, (1 << 32) - 1])).astype(np.uint32)
    out = np.empty(len(words), np.int32)
    arrays = (pointer(a) for a in (table.thresholds, table.guide, out))
    library(torch.float32, torch.float32).element_gaps(
        pointer(words), ctypes.c_int64(len(words)), *arrays
    )
    assert np.array_equal(out, 1 + np.searchsorted(table.thresholds, words, "right"))


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_every_narrow_float_is_widened_as_torch_does(library, narrow, same_bits):
    x = torch.arange(-(1 << 15), 1 << 15).to(torch.int16).view(narrow)
    out = torch.empty(len(x))
    library(torch.float32, narrow).element_widened(pointer(x), ctypes.c_int64(len(x)), pointer(out))
    same_bits(out, x.float())


@BOTH
def test_keys_rise_with_the_square_and_nan_comes_last(library, dtype, same_bits):
    g = hard_numbers(dtype, 1)
    keys, values = torch.empty(len(g), dtype=torch.int64), torch.empty_like(g)
    library(dtype, dtype).element_keys(
        pointer(g), ctypes.c_int64(len(g)), pointer(keys), pointer(values)
    )
    same_bits(values, g.square())
    same_bits(values[keys.argsort()], g.square().sort().values)
    assert keys[g.isnan()].min() > keys[g.isinf()].max()


@BOTH
@pytest.mark.parametrize("decay", [0.999, 0.5, 0.0, 1.0])
def test_moving_averages_have_the_official_roundings(library, dtype, decay, same_bits):
    teacher, student = hard_numbers(dtype, 2), hard_numbers(dtype, 3)
    real = ctypes.c_float if dtype == torch.float32 else ctypes.c_double
    out = torch.empty_like(teacher)
    library(dtype, dtype).element_moved(
        pointer(teacher), pointer(student), ctypes.c_int64(len(teacher)),
        real(decay), real(1 - decay), pointer(out),
    )  # fmt: skip
    reference.ema_([teacher], [student], [decay])
    same_bits(out, teacher)
