"""Numbers out of pickle files, without unpickling objects.

Some published files (the clean CIFAR sets, the calibration of CCC) are pickles, and users have them
unpacked already, so that another format of the same data would be a second download. A pickle is a
program: what it may call here are the stand-ins of this file, which keep what they are given and
run nothing of NumPy. What they kept is checked and turned into an array afterwards.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAX_BYTES: Final = 1 << 30
DTYPES: Final = {"u1": np.uint8, "i8": np.int64, "f4": np.float32, "f8": np.float64}


class _Kept:
    """What a pickle says of an array or a dtype."""

    def __init__(self, *arguments: object) -> None:
        self.arguments: tuple[Any, ...] = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Kept):
    pass


class _Buffer(_Kept):
    pass


class _Dtype(_Kept):
    pass


class _ArrayType:
    """Stands for the class ``ndarray``, which the reconstruction is given as an argument."""


_ALLOWED: Final = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _Buffer,  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): _Buffer,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; anything else is refused by name."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def read(path: Path, remedy: str) -> Any:
    """Dicts, lists, tuples, numbers, text, bytes and numeric arrays of a pickle file.

    Args:
        path: the file.
        remedy: end of a message, what to do when it is not fit.

    Raises:
        ValueError: no such file, a damaged one, or one that holds anything else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise pickle.UnpicklingError(f"larger than {MAX_BYTES} bytes")
        with path.open("rb") as file:
            kept = _Reader(file, encoding="bytes").load()
        return _plain(kept)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; {remedy}") from None
    except (pickle.UnpicklingError, EOFError, TypeError, AttributeError, IndexError,
            KeyError, ValueError, OverflowError, MemoryError, RecursionError) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not the expected pickle ({reason}); {remedy}") from None


def _plain(kept: Any) -> Any:
    """The arrays built, everything else looked through."""
    if isinstance(kept, _Array):
        _, shape, dtype, by_columns, content = kept.state
        return _array(content, dtype, shape, "F" if by_columns else "C")
    if isinstance(kept, _Buffer):
        return _array(*kept.arguments)
    if isinstance(kept, dict):
        return {_text(_plain(key)): _plain(value) for key, value in kept.items()}
    if isinstance(kept, (list, tuple)):
        return type(kept)(_plain(value) for value in kept)
    if kept is None or isinstance(kept, (bool, int, float, str, bytes)):
        return kept
    raise pickle.UnpicklingError(f"it holds a {type(kept).__name__}")


def _text(value: Any) -> Any:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(content, (bytes, bytearray)):
        raise pickle.UnpicklingError("it holds an array without numbers")
    code = _text(dtype.arguments[0])
    if code not in DTYPES or (dtype.state is not None and _text(dtype.state[1]) == ">"):
        raise pickle.UnpicklingError(f"it holds an array of {code!r}")
    numbers = np.frombuffer(bytes(content), DTYPES[code])
    if any(not isinstance(n, int) or n < 0 for n in shape) or math.prod(shape) != len(numbers):
        raise pickle.UnpicklingError(f"it holds {len(numbers)} numbers for the shape {shape}")
    return numbers.reshape(shape, order="F" if _text(order) == "F" else "C")
