"""The integer steps of water spatter, compiled for the CPU: edges to a rim of light.

Ports of the definitions of OpenCV's Canny, distanceTransform (DIST_L2, mask 5), equalizeHist,
filter2D and blur as the reference calls them; OpenCV itself is not needed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctta.counter.compiled import for_cpu

Plane = NDArray[Any]


def _mirror(i: int, n: int) -> int:
    """Index beyond the border by one, reflected without repeating the edge."""
    if i < 0:
        return -i
    if i >= n:
        return 2 * n - 2 - i
    return i


mirror = for_cpu(_mirror)


def _sobel(image: Plane) -> tuple[Plane, Plane]:
    rows, columns = image.shape
    dx = np.empty((rows, columns), np.int32)
    dy = np.empty((rows, columns), np.int32)
    for r in range(rows):
        up, down = max(r - 1, 0), min(r + 1, rows - 1)
        for c in range(columns):
            left, right = max(c - 1, 0), min(c + 1, columns - 1)
            a, b, d = np.int32(image[up, left]), np.int32(image[up, c]), np.int32(image[up, right])
            e, f = np.int32(image[r, left]), np.int32(image[r, right])
            g, h, i = (
                np.int32(image[down, left]),
                np.int32(image[down, c]),
                np.int32(image[down, right]),
            )
            dx[r, c] = d + 2 * f + i - a - 2 * e - g
            dy[r, c] = g + 2 * h + i - a - 2 * b - d
    return dx, dy


sobel = for_cpu(_sobel)


def _edges(image: Plane, low: int, high: int) -> Plane:
    """Canny with |dx| + |dy|: 2 on edges."""
    rows, columns = image.shape
    dx, dy = sobel(image)
    strength = np.zeros((rows + 2, columns + 2), np.int32)
    for r in range(rows):
        for c in range(columns):
            strength[r + 1, c + 1] = abs(dx[r, c]) + abs(dy[r, c])
    # 0 no candidate, 1 weak, 2 edge; the frame stays 0.
    state = np.zeros((rows + 2, columns + 2), np.uint8)
    stack = np.empty((rows * columns, 2), np.int32)
    top = 0
    tan22 = 13573  # tan(22.5 degrees) * 2**15, rounded
    for r in range(1, rows + 1):
        for c in range(1, columns + 1):
            m = strength[r, c]
            if m <= low:
                continue
            gx, gy = dx[r - 1, c - 1], dy[r - 1, c - 1]
            x, y = np.int64(abs(gx)), np.int64(abs(gy)) << 15
            flat = x * tan22
            if y < flat:
                peak = m > strength[r, c - 1] and m >= strength[r, c + 1]
            elif y > flat + (x << 16):
                peak = m > strength[r - 1, c] and m >= strength[r + 1, c]
            else:
                s = -1 if (gx < 0) != (gy < 0) else 1
                peak = m > strength[r - 1, c - s] and m > strength[r + 1, c + s]
            if peak:
                state[r, c] = 1
                if m > high:
                    state[r, c] = 2
                    stack[top, 0], stack[top, 1] = r, c
                    top += 1
    while top > 0:
        top -= 1
        r, c = stack[top, 0], stack[top, 1]
        for i in range(r - 1, r + 2):
            for j in range(c - 1, c + 2):
                if state[i, j] == 1:
                    state[i, j] = 2
                    stack[top, 0], stack[top, 1] = i, j
                    top += 1
    return state[1:-1, 1:-1]


edges = for_cpu(_edges)


def _distance(state: Plane) -> Plane:
    """Distance to the nearest edge by the 5x5 chamfer 1, 1.4, 2.1969; float32 as in OpenCV 5."""
    rows, columns = state.shape
    near, diagonal, knight = np.float32(1), np.float32(1.4), np.float32(2.1969)
    field = np.full((rows + 4, columns + 4), np.inf, np.float32)
    for r in range(2, rows + 2):
        for c in range(2, columns + 2):
            if state[r - 2, c - 2] == 2:
                field[r, c] = 0
                continue
            best = min(field[r - 2, c - 1], field[r - 2, c + 1]) + knight
            best = min(best, min(field[r - 1, c - 2], field[r - 1, c + 2]) + knight)
            best = min(best, min(field[r - 1, c - 1], field[r - 1, c + 1]) + diagonal)
            field[r, c] = min(best, min(field[r - 1, c], field[r, c - 1]) + near)
    for r in range(rows + 1, 1, -1):
        for c in range(columns + 1, 1, -1):
            best = min(field[r + 2, c - 1], field[r + 2, c + 1]) + knight
            best = min(best, min(field[r + 1, c - 2], field[r + 1, c + 2]) + knight)
            best = min(best, min(field[r + 1, c - 1], field[r + 1, c + 1]) + diagonal)
            best = min(best, min(field[r + 1, c], field[r, c + 1]) + near)
            field[r, c] = min(field[r, c], best)
    return field[2:-2, 2:-2]


distance = for_cpu(_distance)


def _box_sum(plane: Plane) -> Plane:
    """Sums over 3x3 with mirrored borders, float64."""
    rows, columns = plane.shape
    out = np.zeros((rows, columns))
    for r in range(rows):
        up, down = mirror(r - 1, rows), mirror(r + 1, rows)
        for c in range(columns):
            left, right = mirror(c - 1, columns), mirror(c + 1, columns)
            total = 0.0
            for i in (up, r, down):
                total += np.float64(plane[i, left]) + plane[i, c] + plane[i, right]
            out[r, c] = total
    return out


box_sum = for_cpu(_box_sum)


def _equalise(image: Plane) -> Plane:
    counts = np.zeros(256, np.int64)
    for r in range(image.shape[0]):
        for c in range(image.shape[1]):
            counts[image[r, c]] += 1
    first = 0
    while counts[first] == 0:
        first += 1
    lut = np.zeros(256, np.uint8)
    if counts[first] == image.size:
        lut[first] = first
    else:
        scale = np.float32(255) / np.float32(image.size - counts[first])
        total = 0
        for value in range(first + 1, 256):
            total += counts[value]
            lut[value] = np.uint8(np.rint(np.float32(total) * scale))
    out = np.empty(image.shape, np.uint8)
    for r in range(image.shape[0]):
        for c in range(image.shape[1]):
            out[r, c] = lut[image[r, c]]
    return out


equalise = for_cpu(_equalise)


def _emboss(image: Plane) -> Plane:
    """Correlation with [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], saturated to 8 bits."""
    rows, columns = image.shape
    out = np.empty((rows, columns), np.uint8)
    for r in range(rows):
        up, down = mirror(r - 1, rows), mirror(r + 1, rows)
        for c in range(columns):
            left, right = mirror(c - 1, columns), mirror(c + 1, columns)
            value = np.int64(image[r, c]) + image[r, right] + image[down, c]
            value += 2 * np.int64(image[down, right]) - 2 * np.int64(image[up, left])
            value -= np.int64(image[up, c]) + np.int64(image[r, left])
            out[r, c] = min(max(value, 0), 255)
    return out


emboss = for_cpu(_emboss)


def rims(layers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The light on the drops for 8-bit liquid layers [B, H, W], in the same shape."""
    out = np.empty(layers.shape, np.uint8)
    for layer, result in zip(layers, out, strict=True):
        near = np.minimum(distance(edges(layer, 50, 150)), np.float32(20))
        smooth = (box_sum(near) * (1 / 9)).astype(np.float32).astype(np.uint8)
        result[:] = np.rint(box_sum(emboss(equalise(smooth))) / 9)
    return out
