"""The CUDA kernels on the host: compiled by g++ and launched in the place of CuPy."""

import ctypes
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from ctta.assets import asset_dir
from ctta.kernels import gpu_device, gpu_tables
from ctta.locks import making

HERE = Path(__file__).parent
MOST_ARGUMENTS = 32
# A sum of products stays uncontracted; an address that a device would refuse ends the process.
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra",
         "-Werror", "-Wno-missing-field-initializers", "-fsanitize=alignment",
         "-fsanitize-undefined-trap-on-error"]  # fmt: skip


@pytest.fixture(scope="session")
def library(shared_folder):
    """(element, student) -> all kernels and element functions for these types."""
    if sys.platform != "linux" or shutil.which("g++") is None:
        pytest.skip("no g++ on Linux here: it compiles the CUDA sources for the host")

    @cache
    def compiled(element, student):
        types = [gpu_device.C_TYPES[dtype] for dtype in (element, student)]
        path = shared_folder / f"host_kernels_{'_'.join(types)}.so"
        defines = [f"-DELEMENT={types[0]}", f"-DSTUDENT={types[1]}"]
        with making(path, "TMPDIR"):
            if not path.is_file():
                half = path.with_suffix(".half")
                places = [f"-I{asset_dir('cuda')}", f"-I{HERE}", "-o", str(half)]
                source = str(HERE / "host_kernels.cpp")
                subprocess.run(["g++", *FLAGS, *defines, *places, source], check=True)
                half.rename(path)
        return ctypes.CDLL(str(path))

    return compiled


class HostTable:
    """A table that lies where the kernels run: on the host."""

    captured = False

    def __init__(self, values, device):
        self.values = values

    def pointer(self):
        return np.uintp(self.values.ctypes.data)


@pytest.fixture(params=["rising", pytest.param("falling", marks=pytest.mark.slow)])
def on_host(request, library, monkeypatch):
    """`ctta.kernels.gpu` runs on CPU tensors; threads and CTAs go in rising or falling order."""
    launched = []

    def launch(program, kernel, grid, arguments, device):
        own = library(program.element, program.student or program.element)
        widths = (ctypes.c_int * MOST_ARGUMENTS)()
        n = getattr(own, f"widths_{kernel}")(widths)
        assert widths[:n] == [argument.nbytes for argument in arguments], kernel
        held = [np.asarray(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * n)(*(argument.ctypes.data for argument in held))
        falling = request.param == "falling"
        getattr(own, f"launch_{kernel}")(grid, gpu_device.THREADS, pointers, falling)
        launched.append(kernel)

    monkeypatch.setattr(gpu_device, "launch", launch)
    monkeypatch.setattr(gpu_device, "processors", lambda device: 1)
    monkeypatch.setattr(gpu_device, "Table", HostTable)
    gpu_tables.forget()
    yield launched
    gpu_tables.forget()


@pytest.fixture
def same_bits():
    """Asserts that two tensors hold the same bits; two NaN may differ in theirs."""

    def compare(mine, theirs):
        assert mine.dtype == theirs.dtype
        whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[mine.element_size()]
        equal = (mine.view(whole) == theirs.view(whole)) | (mine.isnan() & theirs.isnan())
        assert equal.all(), f"{(~equal).sum()} of {equal.numel()} elements differ"

    return compare
