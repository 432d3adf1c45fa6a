"""Images whose objects are taken apart while their colours stay: DeYO's three ways."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


class Shuffle:
    """Permutes the patches of each image, or all pixels of all images alike.

    Args:
        generator: of the permutations.
        patches_per_side: P; each image [C,S,S] is cut into P x P patches of its own order, on a
            side that P divides (resized there and back where S is not it). None: pixels.
    """

    def __init__(self, generator: torch.Generator, patches_per_side: int | None) -> None:
        self.generator, self.patches_per_side = generator, patches_per_side

    def __call__(self, x: Tensor) -> Tensor:
        """[B,C,S,S] -> [B,C,S,S]."""
        if self.patches_per_side is None:
            order = torch.randperm(x.shape[2] * x.shape[3], generator=self.generator)
            return x.flatten(2)[..., order.to(x.device)].reshape(x.shape)
        n_patches = self.patches_per_side**2
        orders = torch.rand(len(x), n_patches, generator=self.generator).argsort(1)
        return shuffled_patches(x, orders.to(x.device), self.patches_per_side)

    def state_dict(self) -> dict[str, Tensor]:
        """The generator's state."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on drawing where the saved one stood."""
        self.generator.set_state(state["generator"].cpu())


def shuffled_patches(x: Tensor, orders: Tensor, per_side: int) -> Tensor:
    """Patch j of image i becomes the old patch ``orders[i,j]``; patches count row by row."""
    side = x.shape[-1]
    patch = side // per_side
    y = resized(x, per_side * patch)
    blocks = y.unfold(2, patch, patch).unfold(3, patch, patch).flatten(2, 3)
    moved = blocks.gather(2, orders[:, None, :, None, None].expand_as(blocks))
    grid = moved.reshape(*x.shape[:2], per_side, per_side, patch, patch)
    return resized(grid.permute(0, 1, 2, 4, 3, 5).reshape(y.shape), side)


def resized(x: Tensor, side: int) -> Tensor:
    """Bilinear with antialiasing; the same image if it has that side already."""
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)


class Occlusion:
    """A square of each image becomes the mean of that image and channel.

    Args:
        size: of the square, in pixels.
        row: of its upper edge.
        column: of its left edge.
    """

    def __init__(self, size: int, row: int, column: int) -> None:
        self.rows, self.columns = slice(row, row + size), slice(column, column + size)

    def __call__(self, x: Tensor) -> Tensor:
        """[B,C,S,S] -> [B,C,S,S]."""
        covered = x.clone()
        covered[:, :, self.rows, self.columns] = x.mean(dim=(2, 3), keepdim=True)
        return covered

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Nothing."""
