"""Inner loops over the neighbours of a pixel, compiled for the CPU by Numba.

Those of the blurs and the elastic transform have a torch form beside their caller, which other
devices take; JPEG and pixelation run on the CPU only.
"""

from typing import Any

import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from ctta.counter.compiled import for_cpu

Array = NDArray[Any]


@intrinsic  # type: ignore[untyped-decorator]
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once, on every processor."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, b, c), code


def _separable(planes: Array, taps: Array, row_index: Array, column_index: Array) -> Array:
    """A symmetric filter down and across planes [P, H, W]; the indices name border pixels."""
    n, height, width = planes.shape
    radius = len(taps) - 1
    out = np.empty_like(planes)
    line = np.empty(width, planes.dtype)
    padded = np.empty(len(column_index), planes.dtype)
    for p in range(n):
        plane = planes[p]
        for r in range(height):
            middle = plane[r]
            for c in range(width):
                line[c] = middle[c] * taps[0]
            # The centre first, then pairs from the outside in: the order of scipy's sum.
            for k in range(radius, 0, -1):
                above, below = plane[row_index[r + radius - k]], plane[row_index[r + radius + k]]
                tap = taps[k]
                for c in range(width):
                    line[c] += (above[c] + below[c]) * tap
            for c in range(len(column_index)):
                padded[c] = line[column_index[c]]
            result = out[p, r]
            for c in range(width):
                result[c] = line[c] * taps[0]
            for k in range(radius, 0, -1):
                before, after = padded[radius - k :], padded[radius + k :]
                tap = taps[k]
                for c in range(width):
                    result[c] += (before[c] + after[c]) * tap
    return out


separable = for_cpu(_separable)


def _correlate(padded: Array, rows: Array, columns: Array, weights: Array, reach: int) -> Array:
    """Weighted sums of shifted planes: `padded` [P, H + 2 reach, W + 2 reach] to [P, H, W]."""
    n = padded.shape[0]
    height, width = padded.shape[1] - 2 * reach, padded.shape[2] - 2 * reach
    out = np.zeros((n, height, width), padded.dtype)
    for p in range(n):
        for r in range(height):
            result = out[p, r]
            # Four at a time: the sum is loaded and stored a quarter as often.
            fours = len(weights) // 4 * 4
            for i in range(0, fours, 4):
                s0, s1 = (
                    padded[p, r + rows[i], columns[i] :],
                    padded[p, r + rows[i + 1], columns[i + 1] :],
                )
                s2, s3 = (
                    padded[p, r + rows[i + 2], columns[i + 2] :],
                    padded[p, r + rows[i + 3], columns[i + 3] :],
                )
                w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
                for c in range(width):
                    result[c] += (s0[c] * w0 + s1[c] * w1) + (s2[c] * w2 + s3[c] * w3)
            for i in range(fours, len(weights)):
                source = padded[p, r + rows[i], columns[i] :]
                weight = weights[i]
                for c in range(width):
                    result[c] += source[c] * weight
    return out


correlate = for_cpu(_correlate)


def _zoom_blur(images: Array, rows: tuple[Array, ...], columns: tuple[Array, ...]) -> Array:
    """Means of planes [P, H, W] and their enlargements, whose lines `blur.zoom_lines` names.

    Weights, order and fused sums are those of torch's interpolation of three channels.
    """
    n, height, width = images.shape
    top, bottom, up, down = rows
    left, right, back, on = columns
    count = len(top)
    out = np.empty_like(images)
    x = np.empty((height, width), np.float32)
    total = np.empty((height, width), np.float32)
    # The neighbours of the two source rows at hand, even and odd.
    lefts, rights = np.empty((2, width), np.float32), np.empty((2, width), np.float32)
    held = np.empty(2, np.int64)
    one, white, parts = np.float32(1), np.float32(255), np.float32(count + 2)
    for p in range(n):
        for r in range(height):
            for c in range(width):
                x[r, c] = np.float32(images[p, r, c]) / white
                total[r, c] = x[r, c] + x[r, c]
        for f in range(count):
            held[:] = -1
            for r in range(height):
                for source in (top[f, r], bottom[f, r]):
                    slot = source & 1
                    if held[slot] != source:
                        held[slot] = source
                        line, to_left, to_right = x[source], lefts[slot], rights[slot]
                        for c in range(width):
                            to_left[c] = line[np.uint64(left[f, c])]
                            to_right[c] = line[np.uint64(right[f, c])]
                x00, x01 = lefts[top[f, r] & 1], rights[top[f, r] & 1]
                x10, x11 = lefts[bottom[f, r] & 1], rights[bottom[f, r] & 1]
                sums, b, o, u, d = total[r], back[f], on[f], up[f, r], down[f, r]
                for c in range(width):
                    upper = fused(u * b[c], x00[c], u * o[c] * x01[c])
                    sums[c] += fused(d * o[c], x11[c], fused(d * b[c], x10[c], upper))
        for r in range(height):
            for c in range(width):
                mean = total[r, c] / parts
                out[p, r, c] = np.int32(min(max(mean, np.float32(0)), one) * white)
    return out


zoom_blur = for_cpu(_zoom_blur)


def _motion_blur(levels: Array, steps: Array, weights: Array, start: np.float32) -> Array:
    """`start` plus weighted sums along `steps` [B, n, 2], cut to levels; uint8 [B, C, H, W]."""
    n, channels, height, width = levels.shape
    reach = len(weights)
    out = np.empty(levels.shape, np.uint8)
    padded = np.empty((height, width + 2 * reach), np.float32)
    total = np.empty(width, np.float32)
    white = np.float32(255)
    for b in range(n):
        for k in range(channels):
            for r in range(height):
                line, source = padded[r], levels[b, k, r]
                line[:reach] = source[0]
                line[reach + width :] = source[width - 1]
                for c in range(width):
                    line[reach + c] = source[c]
            for r in range(height):
                total[:] = start
                for i in range(reach):
                    row = min(max(r + steps[b, i, 0], 0), height - 1)
                    source, weight = padded[row, reach + steps[b, i, 1] :], weights[i]
                    for c in range(width):
                        total[c] = fused(source[c], weight, total[c])
                for c in range(width):
                    # A sum of a few millionths more than 255 is white, too.
                    out[b, k, r, c] = np.int32(min(total[c], white))
    return out


motion_blur = for_cpu(_motion_blur)


def _pixelate(
    planes: Array, rows: tuple[Array, ...], columns: tuple[Array, ...], small: tuple[int, int]
) -> Array:
    """Box means of planes [P, H, W] on a small grid, columns first, then nearest up again.

    `rows` and `columns` hold, for that axis: starts, counts, 22-bit weights and the way back up.
    """
    n, height, width = planes.shape
    row_starts, row_counts, row_weights, row_way_up = rows
    starts, counts, weights, way_up = columns
    out = np.empty_like(planes)
    across = np.empty((height, small[1]), np.uint8)
    total = np.empty(small[1], np.int32)
    half = np.int32(1 << 21)
    for p in range(n):
        for r in range(height):
            line, result = planes[p, r], across[r]
            for c in range(small[1]):
                # An unsigned index spares the test for one counted from the end.
                start, mean = np.uint64(starts[c]), half
                for k in range(counts[c]):
                    mean += np.int32(line[start + np.uint64(k)]) * weights[c, k]
                result[c] = mean >> 22
        before = -1
        for r in range(height):
            low = row_way_up[r]
            if low == before:
                out[p, r] = out[p, r - 1]
                continue
            before = low
            total[:] = half
            for k in range(row_counts[low]):
                line, weight = across[row_starts[low] + k], row_weights[low, k]
                for c in range(small[1]):
                    total[c] += np.int32(line[c]) * weight
            result = out[p, r]
            for c in range(width):
                result[c] = total[np.uint64(way_up[c])] >> 22
    return out


pixelate = for_cpu(_pixelate)


def _interleave(planes: Array, pixels: Array) -> None:
    """Fills the first three values of `pixels` [H, W, 4] with `planes` [3, H, W]."""
    height, width, _ = pixels.shape
    for r in range(height):
        red, green, blue, line = planes[0, r], planes[1, r], planes[2, r], pixels[r]
        for c in range(width):
            line[c, 0], line[c, 1], line[c, 2] = red[c], green[c], blue[c]


interleave = for_cpu(_interleave)


def _deinterleave(pixels: Array, planes: Array) -> None:
    """Fills `planes` [3, H, W] with `pixels` [H, W, 3]."""
    height, width, _ = pixels.shape
    for r in range(height):
        line = pixels[r].reshape(3 * width)
        for k in range(3):
            plane, values = planes[k, r], line[k:]
            for c in range(width):
                plane[c] = values[3 * c]


deinterleave = for_cpu(_deinterleave)


def _plasma(u: Array, side: int, decay: float) -> Array:
    """Diamond-square heights in [0, 1] from draws [B, side * side - 1]: see `weather.plasma`."""
    out = np.empty((len(u), side, side))
    for b in range(len(u)):
        heights, draws = out[b], u[b]
        heights[0, 0] = 0
        amplitude, step, used = 100.0, side, 0
        while step >= 2:
            half, n = step // 2, side // step
            squares = draws[used : used + n * n].reshape(n, n)
            on_rows = draws[used + n * n : used + 2 * n * n].reshape(n, n)
            on_columns = draws[used + 2 * n * n : used + 3 * n * n].reshape(n, n)
            used += 3 * n * n
            weight = amplitude * amplitude
            for i in range(n):
                line, below = heights[i * step], heights[(i + 1) % n * step]
                centres = heights[i * step + half]
                for j in range(n):
                    c, d = j * step, (j + 1) % n * step
                    total = (line[c] + line[d]) + (below[c] + below[d])
                    centres[c + half] = total / 4 + squares[i, j] * weight
            for i in range(n):
                line, below = heights[i * step], heights[(i + 1) % n * step]
                # A negative index wraps around, as the torus does.
                centres, above = heights[i * step + half], heights[i * step - half]
                for j in range(n):
                    c, d, m = j * step, (j + 1) % n * step, j * step + half
                    total = (line[c] + line[d]) + centres[m] + above[m]
                    line[m] = total / 4 + on_rows[i, j] * weight
                    total = (line[c] + below[c]) + centres[m] + centres[c - half]
                    centres[c] = total / 4 + on_columns[i, j] * weight
            step, amplitude = half, amplitude / decay
        heights -= heights.min()
        heights /= heights.max()
    return out


plasma = for_cpu(_plasma)


def _shuffle(levels: Array, dxdy: Array, d: int) -> Array:
    """One pass of glass blur's copies, in the reference's order; levels [B, 3, H, W]."""
    out = levels.copy()
    n, channels, height, width = levels.shape
    for b in range(n):
        moves = dxdy[b if len(dxdy) > 1 else 0]
        for i in range(height - 2 * d):
            for j in range(width - 2 * d):
                h, w = height - d - i, width - d - j
                row, column = h + moves[i, j, 1], w + moves[i, j, 0]
                for c in range(channels):
                    out[b, c, h, w] = out[b, c, row, column]
    return out


shuffle = for_cpu(_shuffle)


def _fold(i: int, n: int, repeat_edge: bool) -> int:
    period = 2 * n if repeat_edge else 2 * n - 2
    if i < 0 or i >= n:
        i = i % period
        if i >= n:
            i = (period - 1 if repeat_edge else period) - i
    return i


fold = for_cpu(_fold)


def _sample(x: Array, row: Array, column: Array, repeat_edge: bool) -> Array:
    """x [B, C, H, W] at positions [B, H, W], bilinear, reflected at the border."""
    n, channels, height, width = x.shape
    out = np.empty_like(x)
    one = np.float32(1)
    for b in range(n):
        planes = x[b].reshape(channels, height * width)
        for r in range(height):
            for c in range(width):
                top, left = np.floor(row[b, r, c]), np.floor(column[b, r, c])
                down, right = np.float32(row[b, r, c] - top), np.float32(column[b, r, c] - left)
                up, back = one - down, one - right
                r0, c0 = int(top), int(left)
                r1, c1 = r0 + 1, c0 + 1
                if r0 < 0 or c0 < 0 or r1 >= height or c1 >= width:
                    r0, c0 = fold(r0, height, repeat_edge), fold(c0, width, repeat_edge)
                    r1, c1 = fold(r1, height, repeat_edge), fold(c1, width, repeat_edge)
                i00, i01 = np.uint64(r0 * width + c0), np.uint64(r0 * width + c1)
                i10, i11 = np.uint64(r1 * width + c0), np.uint64(r1 * width + c1)
                for k in range(channels):
                    plane = planes[k]
                    upper = plane[i00] * back + plane[i01] * right
                    lower = plane[i10] * back + plane[i11] * right
                    out[b, k, r, c] = upper * up + lower * down
    return out


sample = for_cpu(_sample)
