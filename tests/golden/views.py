"""The view rules of the golden format: what an augmented view was when the file was recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ctta.parts.augment import ViewDraws, apply_view

VIEW_KEYS = {"rule", "count", "restart", "keys", "rows", "side", "noise_std"}
RESTARTS = ("step", "batch", "stream")


class RefusedError(ValueError):
    """The file says something that this reader does not know; the message names it."""


def hflip(x: Tensor) -> Tensor:
    return x.flip(-1)


def cycle4(x: Tensor, i: int) -> Tensor:
    return (x, hflip(x), 0.8 * x, x.roll((1, -1), dims=(-2, -1)))[i % 4]


def roll_flip10(x: Tensor, i: int) -> Tensor:
    rolled = x.roll(i - 5, dims=-1)
    return hflip(rolled) if i % 2 else rolled


FORMULAS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "identity": lambda x, i: x,
    "hflip": lambda x, i: hflip(x),
    "cycle4": cycle4,
    "gain10": lambda x, i: (x * (0.55 + 0.1 * i)).clamp(0, 1),
    "roll_flip10": roll_flip10,
}
RECORDED = ("recorded_images", "recorded_draws", "recorded_permutations")


class ReplayedViews:
    """Stands where a method keeps its augmentation; gives the views of the file instead.

    It counts batches and updates itself, so that a reset of the method does not rewind it.
    """

    def __init__(self, spec: Mapping[str, Any], arguments: Mapping[str, Any], arrays: Any) -> None:
        unknown = set(spec) - VIEW_KEYS
        if unknown:
            raise RefusedError(f"views: unknown key {sorted(unknown)[0]!r}")
        if spec["rule"] not in (*FORMULAS, *RECORDED):
            raise RefusedError(f"views.rule: unknown {spec['rule']!r}")
        if spec.get("restart") not in RESTARTS:
            raise RefusedError(f"views.restart: unknown {spec.get('restart')!r}")
        self.spec, self.arguments, self.arrays = spec, arguments, arrays
        self.batch = self.update = -1
        self.i = self.row = 0

    def begin_batch(self) -> None:
        self.batch += 1
        if self.spec["restart"] == "batch":
            self.i = 0

    def begin_update(self) -> None:
        self.update += 1
        if self.spec["restart"] == "step":
            self.i = 0

    def __call__(self, x: Tensor) -> Tensor:
        i, self.i = self.i, self.i + 1
        rule = self.spec["rule"]
        if rule in FORMULAS:
            return FORMULAS[rule](x, i)
        if rule == "recorded_draws":
            of_update = max(self.update, 0) * int(self.spec["count"])
            return apply_view(
                x, self.draws(i if self.spec["restart"] == "stream" else of_update + i)
            )
        if rule == "recorded_images":
            return self.image(x, i)
        return self.permuted(x, i)

    def draws(self, row: int) -> ViewDraws:
        """The parameters of one row of the augmentation chain."""
        keys = self.spec.get("keys") or {}
        if self.spec.get("rows"):
            values = self.spec["rows"][row]
        else:
            names = ("order", "factor", "affine", "sigma", "flip")
            values = {name: self.arrays[keys["draws"] + name][row] for name in names}
        noise_std = self.spec.get("noise_std") or 0.0
        noise = None
        if noise_std:
            noise = torch.as_tensor(self.arrays[keys["noise"]][row]) * noise_std
        affine = [float(v) for v in values["affine"]]
        sigma = values.get("sigma")
        return ViewDraws(
            order=tuple(int(v) for v in values["order"]),
            factor=tuple(float(v) for v in values["factor"]),
            angle=affine[0],
            shift=(int(affine[1]), int(affine[2])),
            scale=affine[3],
            sigma=None if sigma is None else float(sigma),
            flip=bool(values["flip"]),
            noise=noise,
        )

    def image(self, x: Tensor, call: int) -> Tensor:
        """The recorded images of this call."""
        keys = self.spec["keys"]
        images = self.arrays[keys["images"]]
        if "lengths" not in keys:
            return torch.as_tensor(images[self.batch]).to(x).reshape(x.shape)
        lengths = self.arrays[keys["lengths"]]
        start, length = int(lengths[:call].sum()), int(lengths[call])
        assert length == len(x), (
            f"call {call}: the file has {length} images, the method gave {len(x)}"
        )
        return torch.as_tensor(images[start : start + length]).to(x)

    def permuted(self, x: Tensor, call: int) -> Tensor:
        """Patches (a row an image) or pixels (a row for all) in the recorded order."""
        keys, side = self.spec["keys"], x.shape[-1]
        flat = self.arrays[keys.get("permutations", "permutations")].reshape(-1)
        if self.arguments["destroy"] == "pixel":
            row = torch.as_tensor(flat[call * side * side : (call + 1) * side * side])
            return x.flatten(2)[..., row].reshape(x.shape)
        p = int(self.arguments["patches_per_side"])
        lengths = self.arrays[keys["lengths"]]
        start, length = int(lengths[:call].sum()) * p * p, int(lengths[call])
        assert length == len(x), (
            f"call {call}: the file has {length} images, the method gave {len(x)}"
        )
        rows = torch.as_tensor(np.asarray(flat[start : start + length * p * p])).to(x.device)
        rows = rows.view(length, 1, -1)
        cut = side // p * p
        y = resized(x, cut)
        blocks = y.unfold(2, cut // p, cut // p).unfold(3, cut // p, cut // p)
        blocks = blocks.reshape(length, x.shape[1], p * p, -1)
        moved = blocks.gather(2, rows.unsqueeze(-1).expand(blocks.shape).long())
        moved = moved.reshape(length, x.shape[1], p, p, cut // p, cut // p)
        return resized(moved.permute(0, 1, 2, 4, 3, 5).reshape(y.shape), side)

    def __deepcopy__(self, memo: dict[int, Any]) -> ReplayedViews:
        return self

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert not state


def resized(x: Tensor, side: int) -> Tensor:
    """Bilinear with antialiasing; nothing happens at that side already."""
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
