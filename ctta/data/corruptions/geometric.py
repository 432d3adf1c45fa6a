"""Elastic transform: a random affine map, then a smoothed random displacement field."""

from functools import cache

import torch
from torch import Tensor

from ctta.counter import Rows
from ctta.data.corruptions.blur import gaussian_taps, separable
from ctta.data.corruptions.pixels import Draws, to_uint8, to_unit
from ctta.data.corruptions.table import Params


def draw_elastic_transform(rows: Rows, images: Tensor, params: Params) -> dict[str, Tensor]:
    """`points` [B, 3, 2], `dx` and `dy` [B, H, W]: uniforms in [-1, 1), float64."""
    side = images.shape[2:]
    names_and_shapes = {"points": (3, 2), "dx": tuple(side), "dy": tuple(side)}
    return {name: rows.uniform(*shape).mul_(2).sub_(1) for name, shape in names_and_shapes.items()}


def apply_elastic_transform(images: Tensor, params: Params, draws: Draws) -> Tensor:
    """Sample at the inverse affine map, then at the displaced positions, both bilinear."""
    alpha, sigma, reach = params
    height, width = images.shape[2:]
    x = to_unit(images, torch.float32)
    row = torch.arange(height, dtype=torch.float64, device=images.device)[:, None]
    column = torch.arange(width, dtype=torch.float64, device=images.device)[None]
    inverse = inverse_affine(draws["points"].double() * reach, height, width)
    a = inverse[:, :, :, None, None]
    x = sample(
        x,
        (a[:, 1, 0] * column + a[:, 1, 1] * row).add_(a[:, 1, 2]),
        (a[:, 0, 0] * column + a[:, 0, 1] * row).add_(a[:, 0, 2]),
        repeat_edge=False,
    )
    if alpha == 0:
        return to_uint8(x)
    dx, dy = (smooth(draws[name].double(), sigma).mul_(alpha) for name in ("dx", "dy"))
    return to_uint8(sample(x, dy.add_(row), dx.add_(column), repeat_edge=True))


def inverse_affine(shift: Tensor, height: int, width: int) -> Tensor:
    """The map back, [B, 2, 3] on (x, y, 1), of the map that moves three points by `shift`."""
    q = min(height, width) // 3
    centre = torch.tensor([width // 2, height // 2], dtype=torch.float64, device=shift.device)
    corners = torch.tensor([[q, q], [q, -q], [-q, -q]], dtype=torch.float64, device=shift.device)
    start = (centre + corners).expand(len(shift), 3, 2)
    end = start + shift
    # Edges of the triangle determine the linear part: end edges -> start edges.
    u, v = end[:, 1] - end[:, 0], end[:, 2] - end[:, 0]
    p, r = start[:, 1] - start[:, 0], start[:, 2] - start[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    to_u = torch.stack((v[:, 1], -v[:, 0]), -1) / area[:, None]
    to_v = torch.stack((-u[:, 1], u[:, 0]), -1) / area[:, None]
    linear = p[:, :, None] * to_u[:, None] + r[:, :, None] * to_v[:, None]
    offset = start[:, 0] - (linear * end[:, 0][:, None]).sum(-1)
    return torch.cat((linear, offset[:, :, None]), dim=2)


def smooth(field: Tensor, sigma: float) -> Tensor:
    """Gaussian cut at three sigma, the border reflected with its edge repeated, any radius."""
    taps = gaussian_taps(sigma, 3.0)
    if len(taps) <= min(field.shape[-2:]):
        return separable(field, taps, lambda index, n: fold(index, n, True))
    # A filter wider than the image is a dense matrix; one product an image keeps the sums' order.
    down, across = (_matrix(sigma, n).to(field.device) for n in field.shape[-2:])
    return torch.stack([down @ plane @ across.T for plane in field])


@cache
def _matrix(sigma: float, n: int) -> Tensor:
    taps = gaussian_taps(sigma, 3.0)
    offset = torch.arange(1 - len(taps), len(taps))
    weights = torch.tensor(taps[:0:-1] + taps, dtype=torch.float64)
    matrix = torch.zeros((n, n), dtype=torch.float64)
    for row in range(n):
        matrix[row].index_add_(0, fold(row + offset, n, True), weights)
    return matrix


def fold(index: Tensor, n: int, repeat_edge: bool) -> Tensor:
    """Integer positions beyond 0..n-1, however far, reflected into it."""
    if repeat_edge:
        index = index.remainder(2 * n)
        return torch.where(index >= n, 2 * n - 1 - index, index)
    index = index.remainder(2 * n - 2)
    return torch.where(index >= n, 2 * n - 2 - index, index)


def sample(x: Tensor, row: Tensor, column: Tensor, *, repeat_edge: bool) -> Tensor:
    """x [B, C, H, W] at float64 positions [B, H, W], bilinear, reflected at the border."""
    batch, _, height, width = x.shape
    row, column = (position.expand(batch, height, width) for position in (row, column))
    if x.device.type == "cpu":
        from ctta.data.corruptions import compiled

        at_rows, at_columns = row.contiguous().numpy(), column.contiguous().numpy()
        return torch.from_numpy(compiled.sample(x.numpy(), at_rows, at_columns, repeat_edge))
    return sample_at_once(x, row, column, repeat_edge=repeat_edge)


def sample_at_once(x: Tensor, row: Tensor, column: Tensor, *, repeat_edge: bool) -> Tensor:
    """The torch form of `sample`, for other devices."""
    batch, channels, height, width = x.shape
    top, left = row.floor(), column.floor()
    down, right = (row - top).float()[:, None], (column - left).float()[:, None]
    flat = x.flatten(2)

    def at(r: Tensor, c: Tensor) -> Tensor:
        place = fold(r.long(), height, repeat_edge) * width + fold(c.long(), width, repeat_edge)
        where = place.flatten(1)[:, None].expand(batch, channels, height * width)
        return flat.gather(2, where).reshape(x.shape)

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down
