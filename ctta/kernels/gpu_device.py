"""What the device form asks of CUDA: compile, launch on torch's stream, keep small tables there.

CuPy is imported at the first launch. The sources in ``cuda/`` are compiled by NVRTC for the types
that a call has; CuPy keeps the result on disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ctta.assets import asset_dir

THREADS = 256
C_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


@dataclass(frozen=True)
class Program:
    """A source file of ``cuda/`` for the types of its elements.

    Attributes:
        source: the name of the ``.cu`` file, without the ending.
        element: type of the parameters, or of the teacher.
        student: type of the student, where that may be another.
    """

    source: str
    element: torch.dtype
    student: torch.dtype | None = None

    @property
    def path(self) -> Path:
        """The source file."""
        return asset_dir("cuda") / f"{self.source}.cu"

    @property
    def options(self) -> tuple[str, ...]:
        """For NVRTC; a sum of products must not be contracted, a subnormal not flushed."""
        student = self.student or self.element
        return (
            "-std=c++17",
            "--fmad=false",
            f"-I{asset_dir('cuda')}",
            f"-DELEMENT={C_TYPES[self.element]}",
            f"-DSTUDENT={C_TYPES[student]}",
            f"-DSOURCES=0x{digest()}",  # CuPy's cache does not look into included files
        )


@cache
def digest() -> str:
    """A hash of all files that a program may include."""
    files = sorted(asset_dir("cuda").glob("*.cuh"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]


@cache
def compiled(program: Program, kernel: str) -> Any:
    """A kernel of a program, compiled when it is first launched on a device."""
    import cupy

    return module(cupy, program).get_function(kernel)


@cache
def module(cupy: Any, program: Program) -> Any:
    """All kernels of a program."""
    return cupy.RawModule(code=program.path.read_text(), options=program.options)


@dataclass(frozen=True)
class OnStream:
    """A stream's handle, in the protocol by which CuPy takes it over."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


def launch(
    program: Program,
    kernel: str,
    grid: int,
    arguments: tuple[np.generic, ...],
    device: torch.device,
) -> None:
    """Queue a kernel on torch's current stream; nothing waits.

    Args:
        program: where it stands.
        kernel: its name.
        grid: CTAs of `THREADS` threads; with 0 there is nothing to do.
        arguments: NumPy scalars of the widths that the kernel declares.
        device: of the tensors.
    """
    if not grid:
        return
    import cupy

    with torch.cuda.device(device):
        stream = OnStream(torch.cuda.current_stream().cuda_stream)
        with cupy.cuda.Stream.from_external(stream):
            compiled(program, kernel)((grid,), (THREADS,), arguments)


def processors(device: torch.device) -> int:
    """Multiprocessors of a device."""
    n: int = torch.cuda.get_device_properties(device).multi_processor_count
    return n


class Table:
    """A small array on a device, which outlives the calls that use it."""

    def __init__(self, values: NDArray[Any], device: torch.device) -> None:
        if torch.cuda.is_current_stream_capturing():
            raise ValueError(
                "expected tensors that an earlier call has seen, got new ones inside a graph "
                "capture: call the same update on the same tensors once before the capture"
            )
        with torch.cuda.device(device):
            # From pinned memory the copy is queued; torch keeps that memory until it is done.
            self.values = torch.from_numpy(values).pin_memory().to(device, non_blocking=True)
            self.stream = torch.cuda.current_stream()
            self.uploaded = self.stream.record_event()
        self.captured = False

    def pointer(self) -> np.uintp:
        """The address, for a kernel that is launched next on the current stream."""
        if torch.cuda.is_current_stream_capturing():
            self.captured = True  # a graph holds the address from now on
        else:
            current = torch.cuda.current_stream(self.values.device)
            if current != self.stream:
                current.wait_event(self.uploaded)
                self.values.record_stream(current)
        return np.uintp(self.values.data_ptr())
