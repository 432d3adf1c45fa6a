"""Wrong versions of the augmentation chain, as patches of its pieces."""

from __future__ import annotations

from unittest.mock import patch

from torch.nn import functional as F
from torchvision.transforms import functional as TF

from ctta.parts import augment

right_colour, right_affine, right_blur = augment.adjust_colour, TF.affine, TF.gaussian_blur


def mean_of_batch(x, operation, factor):
    if operation == augment.CONTRAST:
        return (factor * x + (1 - factor) * augment.grey(x).mean()).clamp(0, 1)
    return right_colour(x, operation, factor)


def mean_of_channels(x, operation, factor):
    if operation == augment.CONTRAST:
        return (factor * x + (1 - factor) * x.mean((2, 3), keepdim=True)).clamp(0, 1)
    return right_colour(x, operation, factor)


def hue_backwards(x, operation, factor):
    return right_colour(x, operation, -factor if operation == augment.HUE else factor)


def no_clip_between(x, operation, factor):
    if operation == augment.BRIGHTNESS:
        return factor * x
    return right_colour(x, operation, factor)


def plain_grey(x):
    return x.mean(1, keepdim=True)


def shift_back(x, *, translate, **rest):
    return right_affine(x, translate=[-t for t in translate], **rest)


def angle_back(x, *, angle, **rest):
    return right_affine(x, angle=-angle, **rest)


def nearest(x, *, interpolation, **rest):
    return right_affine(x, interpolation=TF.InterpolationMode.NEAREST, **rest)


def no_scale(x, *, scale, **rest):
    return right_affine(x, scale=1.0, **rest)


def wide_blur(x, kernel, sigma):
    return right_blur(x, [3, 3], sigma)


def zero_pad(x, pad, mode):
    return F.pad(x, pad)


def patched(target, name, wrong):
    return lambda: patch.object(target, name, wrong)


class ZeroPad:
    pad = staticmethod(zero_pad)


def upright(x, size):
    side = x.shape[-1]
    return x[..., side // 4 - 1 : side // 4 - 1 + size[0], side // 4 : side // 4 + size[1]]


AUGMENT_PATCHES = {
    "contrast by the batch's mean": patched(augment, "adjust_colour", mean_of_batch),
    "contrast by the channel's mean": patched(augment, "adjust_colour", mean_of_channels),
    "hue turned backwards": patched(augment, "adjust_colour", hue_backwards),
    "no clip after brightness": patched(augment, "adjust_colour", no_clip_between),
    "grey as plain mean": patched(augment, "grey", plain_grey),
    "shift mirrored": patched(TF, "affine", shift_back),
    "angle mirrored": patched(TF, "affine", angle_back),
    "nearest neighbour": patched(TF, "affine", nearest),
    "scale ignored": patched(TF, "affine", no_scale),
    "blur 3x3": patched(TF, "gaussian_blur", wide_blur),
    "padding with zeros": patched(augment, "F", ZeroPad),
    "crop off by one": patched(TF, "center_crop", upright),
}
