"""Every kernel under NVIDIA's compute-sanitizer: no access outside, no race, nothing unset read."""

import importlib.util
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="no CuPy here"),
    pytest.mark.skipif(
        shutil.which("compute-sanitizer") is None, reason="no compute-sanitizer here"
    ),
]

FOUND = 99  # exit status for what the sanitizer finds; 1 is pytest's own
KERNELS = "ema or masks or restore or quantile or fisher or prior or narrow"


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_the_kernels_are_clean(tool):
    kernels = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu",
               "tests/gpu/test_kernels.py", "-k", KERNELS]  # fmt: skip
    sanitizer = ["compute-sanitizer", "--tool", tool, "--error-exitcode", str(FOUND)]
    done = subprocess.run([*sanitizer, *kernels], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
