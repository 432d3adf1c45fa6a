"""Formulas of one pixel each, compiled for the CPU by Numba: one pass over the image, no branch.

Each has a torch form beside its caller, which other devices take, and the same bits as that form.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctta.counter.compiled import for_cpu
from ctta.data.corruptions.compiled import fused

Array = NDArray[Any]


def _level(y: Any) -> Any:
    """`pixels.to_uint8` of one number; NaN, which is not greater than 0, becomes 0."""
    zero, one, white = type(y)(0), type(y)(1), type(y)(255)
    above = y if y > zero else zero
    return np.int32((above if above < one else one) * white)


level = for_cpu(_level)


def _to_uint8(y: Array) -> Array:
    """`pixels.to_uint8` of a line of float32 or float64."""
    out = np.empty(len(y), np.uint8)
    for i in range(len(y)):
        out[i] = level(y[i])
    return out


to_uint8 = for_cpu(_to_uint8)


def _add_noise(values: Array, z: Array, scale: float, by_level: bool) -> Array:
    """Lines of uint8 plus normals times `scale`, and times the value itself where `by_level`."""
    out = np.empty(len(values), np.uint8)
    for i in range(len(values)):
        x = values[i] / 255.0
        out[i] = level(x + z[i] * scale * (x if by_level else 1.0))
    return out


add_noise = for_cpu(_add_noise)


def _add_fog(images: Array, maps: Array, strength: float) -> Array:
    """(x + strength P) m / (m + strength) of uint8 [B, 3, H, W], m the image's largest value."""
    out = np.empty_like(images)
    n, channels, height, width = images.shape
    for b in range(n):
        fog = maps[b if len(maps) > 1 else 0]
        largest = images[b].max() / 255.0
        for k in range(channels):
            for r in range(height):
                values, heights, result = images[b, k, r], fog[r], out[b, k, r]
                for c in range(width):
                    lit = (values[c] / 255.0 + strength * heights[c]) * largest
                    result[c] = level(lit / (largest + strength))
    return out


add_fog = for_cpu(_add_fog)


def _add_snow(images: Array, layer: Array, keep: float) -> Array:
    """Whitened images [B, 3, H, W] plus the layer [B, 1, H, W] and the layer turned by 180."""
    out = np.empty_like(images)
    n, _, height, width = images.shape
    red, green, blue = np.float32(0.299), np.float32(0.587), np.float32(0.114)
    gain, base, white = np.float32(1.5), np.float32(0.5), np.float32(255)
    kept, rest = np.float32(keep), np.float32(1 - keep)
    pale = np.empty(width, np.float32)
    flakes = np.empty(width, np.float32)
    turned = np.empty(width, np.float32)
    for b in range(n):
        for r in range(height):
            reds, greens, blues = images[b, 0, r], images[b, 1, r], images[b, 2, r]
            falling, rising = layer[b, 0, r], layer[b, 0, height - 1 - r]
            for c in range(width):
                grey = red * (np.float32(reds[c]) / white) + green * (np.float32(greens[c]) / white)
                grey = fused(np.float32(blues[c]) / white, blue, grey)
                pale[c] = grey * gain + base
                flakes[c] = np.float32(falling[c]) / white
                turned[c] = np.float32(rising[width - 1 - c]) / white
            for k in range(3):
                values, result = images[b, k, r], out[b, k, r]
                for c in range(width):
                    x = np.float32(values[c]) / white
                    lit = kept * x + rest * max(x, pale[c])
                    result[c] = level(lit + flakes[c] + turned[c])
    return out


add_snow = for_cpu(_add_snow)


def _change_hsv(images: Array, factor: float, shift: float, lift: float) -> Array:
    """Saturation times `factor` plus `shift`, value plus `lift`: uint8 [B, 3, H, W] in and out."""
    n, _, height, width = images.shape
    out = np.empty_like(images)
    for i in range(n):
        for row in range(height):
            reds, greens, blues = images[i, 0, row], images[i, 1, row], images[i, 2, row]
            new_reds, new_greens, new_blues = out[i, 0, row], out[i, 1, row], out[i, 2, row]
            for c in range(width):
                r, g, b = reds[c] / 255.0, greens[c] / 255.0, blues[c] / 255.0
                value = max(max(r, g), b)
                spread = value - min(min(r, g), b)
                difference = r - g if b == value else b - r if g == value else g - b
                base = 4.0 if b == value else 2.0 if g == value else 0.0
                hue = (base + difference / (1.0 if spread == 0 else spread)) / 6
                hue = 0.0 if spread == 0 else hue + 1 if hue < 0 else hue
                s = spread / (1.0 if value == 0 else value)
                s = min(max(s * factor + shift, 0.0), 1.0)
                v = min(max(value + lift, 0.0), 1.0)
                sector = np.floor(hue * 6)
                f = hue * 6 - sector
                p, q, t = v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)
                sector = 0.0 if sector == 6 else sector
                ends = (sector == 0) | (sector == 5)
                r = v if ends else q if sector == 1 else t if sector == 4 else p
                rising = (sector == 1) | (sector == 2)
                g = t if sector == 0 else v if rising else q if sector == 3 else p
                b = p if sector < 2 else t if sector == 2 else q if sector == 5 else v
                new_reds[c], new_greens[c], new_blues[c] = level(r), level(g), level(b)
    return out


change_hsv = for_cpu(_change_hsv)
