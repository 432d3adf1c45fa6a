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
    """The compiler that CuPy uses; needs no device."""
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


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "program", PROGRAMS, ids=lambda p: f"{p.source}-{p.options[3][10:]}-{p.options[4][10:]}"
)
def test_compiles_without_spills(program, architecture, tmp_path):
    if importlib.util.find_spec("cupy"):
        log = by_nvrtc(program, architecture)
    elif shutil.which("nvcc"):
        log = by_nvcc(program, architecture, tmp_path)
    else:
        pytest.skip("neither CuPy nor nvcc here: install ctta[cuda12] or ctta[cuda13]")
    spilled = re.findall(r"(\d+) bytes spill", log)
    assert len(spilled) >= 4, log  # loads and stores of two kernels
    assert set(spilled) == {"0"}, log
