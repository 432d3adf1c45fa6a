"""Orders by name against a copy of the table that they were read from."""

import pytest

from ctta.streams.orders import ORDERS, ordered

# Transcribed from the notes on the two repositories, not from the code.
COTTA = """
10 13 0 5 6 4 2 14 3 12 1 8 7 9 11
14 1 6 8 11 9 3 12 0 10 4 2 13 7 5
11 3 0 1 7 8 4 6 12 14 13 10 2 5 9
1 9 4 13 7 12 10 2 3 8 11 0 5 14 6
13 4 6 7 9 2 10 5 8 14 0 1 11 3 12
5 7 9 1 3 11 6 10 8 12 4 0 13 14 2
8 2 14 11 6 4 13 7 3 5 10 12 1 9 0
4 6 2 9 7 14 0 8 1 10 11 5 13 3 12
3 5 6 1 0 4 14 9 11 13 8 7 10 12 2
11 0 3 6 8 4 14 9 13 12 1 2 7 5 10
"""
PETAL = """
0 6 10 8 11 7 9 2 3 4 5 1
10 5 6 9 8 2 11 0 1 3 7 4
10 7 4 5 6 8 3 11 2 0 9 1
0 1 7 9 5 3 4 6 2 11 8 10
7 10 5 9 0 11 4 8 3 1 6 2
10 8 2 7 9 5 3 6 4 11 1 0
8 9 10 5 4 2 3 1 6 7 11 0
1 2 7 3 8 4 5 0 11 6 10 9
4 3 7 10 6 0 8 1 5 9 2 11
5 9 4 6 3 7 2 8 1 0 11 10
"""
STANDARD = [
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
THREE_D = [
    "near_focus",
    "far_focus",
    "bit_error",
    "color_quant",
    "flash",
    "fog_3d",
    "h265_abr",
    "h265_crf",
    "iso_noise",
    "low_light",
    "xy_motion_blur",
    "z_motion_blur",
]
ROTTA = (
    "motion_blur snow fog shot_noise defocus_blur contrast zoom_blur brightness frost "
    "elastic_transform glass_blur gaussian_noise pixelate jpeg_compression impulse_noise"
)


def table(text, names):
    return tuple(tuple(names[int(n)] for n in line.split()) for line in text.strip().split("\n"))


def test_the_orders_are_those_of_the_table():
    assert ORDERS["cotta"] == table(COTTA, STANDARD)
    assert ORDERS["petal_3dcc"] == table(PETAL, THREE_D)
    assert ORDERS["rotta"] == (tuple(ROTTA.split()),)


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_an_order_has_every_corruption_once(name):
    everything = set(THREE_D if name == "petal_3dcc" else STANDARD)
    for order in ORDERS[name]:
        assert len(order) == len(everything)
        assert set(order) == everything
    assert len(set(ORDERS[name])) == len(ORDERS[name])


def test_a_data_set_with_some_corruptions_keeps_their_order():
    assert ordered(["fog", "snow", "contrast"], "rotta", 0) == ["snow", "fog", "contrast"]
    assert ordered(["fog", "snow", "contrast"], "cotta", 2) == ["contrast", "snow", "fog"]
