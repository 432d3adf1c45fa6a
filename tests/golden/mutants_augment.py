"""Wrong versions of the augmentation chain, as patches of its pieces."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from ctta.parts import augment

right_colour, right_affine = augment.adjust_colour_, augment.affine_taps
right_neighbours, right_taps, right_blur = augment.neighbours, augment.blur_taps, augment.blur


def mean_of_batch(x, operation, factor):
    if operation == augment.CONTRAST:
        mean = augment.grey(x).mean()
        x.mul_(factor).add_((1 - factor) * mean).clamp_(0, 1)
    else:
        right_colour(x, operation, factor)


def mean_of_channels(x, operation, factor):
    if operation == augment.CONTRAST:
        mean = x.mean((2, 3), keepdim=True)
        x.mul_(factor).add_((1 - factor) * mean).clamp_(0, 1)
    else:
        right_colour(x, operation, factor)


def hue_backwards(x, operation, factor):
    right_colour(x, operation, -factor if operation == augment.HUE else factor)


def no_clip_between(x, operation, factor):
    if operation == augment.BRIGHTNESS:
        x.mul_(factor)
    else:
        right_colour(x, operation, factor)


def plain_grey(x):
    return x.mean(1, keepdim=True)


def shift_back(x, draws, padding, *, reach):
    right, down = draws.shift
    return right_affine(x, replace(draws, shift=(-right, -down)), padding, reach=reach)


def angle_back(x, draws, padding, *, reach):
    return right_affine(x, replace(draws, angle=-draws.angle), padding, reach=reach)


def no_scale(x, draws, padding, *, reach):
    return right_affine(x, replace(draws, scale=1.0), padding, reach=reach)


def upright(x, draws, padding, *, reach):
    right, down = draws.shift
    return right_affine(x, replace(draws, shift=(right, down + 1)), padding, reach=reach)


def no_flip(x, draws, padding, *, reach):
    return right_affine(x, replace(draws, flip=False), padding, reach=reach)


def reflected_padding(x, draws, padding, *, reach):
    return right_affine(x, draws, "reflect", reach=reach)


def first_pixels(places, size):
    return places.where((places >= 0) & (places < size), 0)


def nearest(coordinates, size):
    pixels, weights = right_neighbours(coordinates, size)
    return pixels, weights.round()


def narrow_taps(sigma, *, negligible):
    return right_taps(sigma, negligible=negligible)[:2]


def twice_the_sigma(sigma, *, negligible):
    return right_taps(sigma and 2 * sigma, negligible=negligible)


def transposed(x, taps):
    return right_blur(x, taps).transpose(0, 1).contiguous()


def patched(name, wrong):
    return lambda: patch.object(augment, name, wrong)


AUGMENT_PATCHES = {
    "contrast by the batch's mean": patched("adjust_colour_", mean_of_batch),
    "contrast by the channel's mean": patched("adjust_colour_", mean_of_channels),
    "hue turned backwards": patched("adjust_colour_", hue_backwards),
    "no clip after brightness": patched("adjust_colour_", no_clip_between),
    "grey as plain mean": patched("grey", plain_grey),
    "shift mirrored": patched("affine_taps", shift_back),
    "angle mirrored": patched("affine_taps", angle_back),
    "scale ignored": patched("affine_taps", no_scale),
    "crop off by one": patched("affine_taps", upright),
    "flip ignored": patched("affine_taps", no_flip),
    "padding reflected": patched("affine_taps", reflected_padding),
    "padding with the first pixels": patched("clamped", first_pixels),
    "nearest neighbour": patched("neighbours", nearest),
    "blur 3x3": patched("blur_taps", narrow_taps),
    "blur twice as wide": patched("blur_taps", twice_the_sigma),
    "rows and columns exchanged": patched("blur", transposed),
}
