"""Files of weights in the published key layouts, written from transcribed tables."""

import re
import zlib
from pathlib import Path

import numpy as np
import torch

LAYOUTS = Path(__file__).parent / "layouts"
PARTS = {
    "norm": ("weight", "bias"),
    "bn": ("weight", "bias", "running_mean", "running_var"),
}
WHOLE = ("num_batches_tracked", "relative_position_index")

Shapes = dict[str, tuple[int, ...]]


def layout(name: str, **sizes: int) -> Shapes:
    """Name of each tensor -> its shape, as ``layouts/<name>.txt`` has them.

    A line is a name and a shape, or the name of a layer, ``bn`` or ``norm``, and its channels;
    ``[0-3]`` stands for four lines, a letter for one of ``sizes``.
    """
    shapes: Shapes = {}
    for line in (LAYOUTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        named, *words = line.split()
        span = re.search(r"\[(\d+)-(\d+)\]", named)
        numbers = range(int(span[1]), int(span[2]) + 1) if span else [0]
        parts = PARTS.get(words[0], ())
        shape = tuple(sizes[w] if w in sizes else int(w) for w in words[bool(parts) :])
        for number in numbers:
            full = named.replace(span[0], str(number)) if span else named
            shapes |= {f"{full}.{part}": shape for part in parts} if parts else {full: shape}
            if words[0] == "bn":
                shapes[f"{full}.num_batches_tracked"] = ()
    return shapes


def constants(shapes: Shapes) -> dict[str, torch.Tensor]:
    """The i-th tensor holds i throughout, in one stored number: files of any network are small."""
    return {
        name: torch.tensor(i if name.endswith(WHOLE) else float(i)).expand(shape)
        for i, (name, shape) in enumerate(shapes.items())
    }


def drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """float64 values of a tensor, drawn from its name; the network's outputs stay moderate."""
    if name.endswith(WHOLE):
        return torch.zeros(shape, dtype=torch.int64)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    values = generator.standard_normal(shape)
    if name.endswith(("running_var", "weight_g")):
        values = 1 + values**2
    elif len(shape) == 1:
        values = name.endswith("weight") + 0.2 * values
    else:
        values = values * (2 / np.prod(shape[1:])) ** 0.5
    return torch.from_numpy(np.asarray(values))
