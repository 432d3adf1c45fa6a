"""Files of weights, as their publishers wrote them, into a network of ours."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

# Where the weights lie in what was saved: plainly, or under one of these keys.
KEYS = ("state_dict", "model_state_dict", "model", "net")
# What wrappers put before every name: DataParallel, and a sequence of normalisation and model.
PREFIXES = ("module.", "model.")
# Names under which publishers keep the normalisation beside the weights.
MEANS, DEVIATIONS = ("mu", "mean", "normalize.mean"), ("sigma", "std", "normalize.std")
COUNTER = "num_batches_tracked"  # which checkpoints older than PyTorch 0.4.1 do not have
# A checkpoint of the field keeps its error rate as a number of NumPy's (zhangmarvin/memo): plain
# values, which run no code.
NUMBERS: list[Any] = [
    *(
        (np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar")
        for core in ("core", "_core")
    ),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)),
]
CONTIGUOUS = torch.contiguous_format

Weights = dict[str, Tensor]


def read_weights(path: Path) -> Weights:
    """The named tensors of a safetensors file, or of a torch file that holds nothing but data.

    Raises:
        ValueError: no such file, one that is damaged or cut off, that would run code, or that holds
            no named tensors; one line, which says what to do.
    """
    if not path.is_file():
        raise ValueError(f"{path} cannot be loaded: no such file; type model.weights=FILE")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals(NUMBERS):
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise damaged(path, error) from error
        raise ValueError(
            f"{path} cannot be loaded: it needs code to be run ({code[1]}), which is refused; if "
            "you trust it, save its state_dict() alone, with torch.save or as safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise damaged(path, error) from error
    return named_tensors(saved, path)


def damaged(path: Path, error: Exception) -> ValueError:
    """The error for a file that is no checkpoint, or only a part of one."""
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return ValueError(
        f"{path} cannot be loaded: it is damaged, cut off or no file of weights ({reason}); "
        "delete it and fetch it again"
    )


def named_tensors(saved: object, path: Path) -> Weights:
    """The weights in what a file held; see `KEYS`.

    Raises:
        ValueError: there are none.
    """
    inner = saved
    while isinstance(inner, Mapping):
        if inner and all(isinstance(value, Tensor) for value in inner.values()):
            return dict(inner)
        inner = next((inner[key] for key in KEYS if key in inner), None)
    found = type(saved).__name__
    if isinstance(saved, Mapping):
        found = f"the keys {', '.join(map(str, list(saved)[:6])) or '(none)'}"
    raise ValueError(
        f"{path} cannot be loaded: expected named tensors, or them under "
        f"{' or '.join(KEYS)}, got {found}"
    )


def load_weights(module: nn.Module, weights: Weights, path: Path) -> Weights:
    """Give ``module`` its weights; names may carry the prefixes of wrappers.

    Args:
        module: may lie on the meta device; its parameters are replaced.
        weights: see `read_weights`.
        path: where they are from, for messages.

    Returns:
        mean and std that lay beside the weights, empty if there were none.

    Raises:
        ValueError: they belong to another network; one line with counts and first names.
    """
    expected: Weights = module.state_dict()
    aside = {
        kind: weights[name].flatten()
        for kind, names in (("mean", MEANS), ("std", DEVIATIONS))
        for name in names
        if name in weights and name not in expected
    }
    own = {k: v for k, v in weights.items() if k in expected or k not in (*MEANS, *DEVIATIONS)}
    own = without_prefixes(own, expected)
    other = [k for k, v in own.items() if k in expected and v.shape != expected[k].shape]
    # A storage of its own each: in-place steps must not meet another weight or the file.
    copies = {
        k: v.to(expected[k].dtype if k in expected else v.dtype).clone(memory_format=CONTIGUOUS)
        for k, v in own.items()
        if k not in other
    }
    absent = expected.keys() - own.keys()
    copies |= {k: torch.zeros((), dtype=torch.int64) for k in absent if k.endswith(COUNTER)}
    missing, unexpected = module.load_state_dict(copies, strict=False, assign=True)
    problems = {
        "missing": [name for name in missing if name not in other],
        "unexpected": unexpected,
        "of another shape": other,
    }
    if any(problems.values()):
        counts = [
            f"{len(names)} {kind} (first {names[0]})" for kind, names in problems.items() if names
        ]
        raise ValueError(
            f"{path} holds the weights of another network; of {len(expected)} tensors "
            f"{', '.join(counts)}; choose the model=... that it belongs to"
        )
    return aside


def without_prefixes(weights: Weights, expected: Iterable[str]) -> Weights:
    """``weights`` with names as ``expected``, where only wrappers' prefixes stand between."""
    known = set(expected)
    for _ in PREFIXES:
        for prefix in PREFIXES:
            if not known & weights.keys() and all(name.startswith(prefix) for name in weights):
                weights = {name.removeprefix(prefix): v for name, v in weights.items()}
    return weights
