"""Every CUDA source compiles for the devices that are supported, and spills no register."""

import importlib.util
import re
import shutil
import subprocess

import pytest
import torch

from ctta.kernels.gpu_device import Program

ARCHITECTURES = ("sm_80", "sm_90")
SINGLE, DOUBLE = torch.float32, torch.float64
PROGRAMS = [
    Program(source, element)
    for source in ("averages", "fisher", "prior", "quantile", "restore")
    for element in (SINGLE, DOUBLE)
] + [Program("averages", SINGLE, narrow) for narrow in (torch.bfloat16, torch.float16)]


def by_nvrtc(program, architecture):
    """The compiler that CuPy uses, from torch's CUDA wheels; needs neither CuPy nor a device."""
    from cuda.bindings import nvrtc

    wanted = (*program.options, f"-arch={architecture}", "--ptxas-options=-v")
    options = [option.encode() for option in wanted]
    name = program.path.name.encode()
    _, own = nvrtc.nvrtcCreateProgram(program.path.read_bytes(), name, 0, [], [])
    (failed,) = nvrtc.nvrtcCompileProgram(own, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(own)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(own, log)
    _, n_bytes = nvrtc.nvrtcGetCUBINSize(own)
    assert not failed, log.decode()
    assert n_bytes
    return log.decode()


def by_nvrtc_of_cupy(program, architecture):
    """The same, where torch brings no bindings."""
    from cupy.cuda import nvrtc

    own = nvrtc.createProgram(program.path.read_text(), program.path.name, (), ())
    wanted = (f"-arch={architecture}", "--ptxas-options=-v")
    try:
        nvrtc.compileProgram(own, (*program.options, *wanted))
        assert nvrtc.getCUBIN(own)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(own))
    return nvrtc.getProgramLog(own)


def by_nvcc(program, architecture, folder):
    out = ["-cubin", "-o", str(folder / "out.cubin"), str(program.path)]
    done = subprocess.run(
        ["nvcc", *program.options, f"-arch={architecture}", "-Xptxas", "-v", *out],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def present(name):
    """Whether a module can be imported, the packages above it as well."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "program", PROGRAMS, ids=lambda p: f"{p.source}-{p.options[3][10:]}-{p.options[4][10:]}"
)
def test_compiles_without_spills(program, architecture, tmp_path, missing):
    if present("cuda.bindings.nvrtc"):
        log = by_nvrtc(program, architecture)
    elif present("cupy"):
        log = by_nvrtc_of_cupy(program, architecture)
    elif shutil.which("nvcc"):
        log = by_nvcc(program, architecture, tmp_path)
    else:
        missing("nvrtc", "no NVRTC and no nvcc here: install ctta[cuda12] or ctta[cuda13]")
    spilled = re.findall(r"(\d+) bytes spill", log)
    assert len(spilled) >= 4, log  # loads and stores of two kernels
    assert set(spilled) == {"0"}, log
