"""Published orders of the corruptions, by name."""

from __future__ import annotations

from collections.abc import Sequence

from ctta.data.catalogue import THREE_D_CORRUPTIONS
from ctta.data.corruptions import CORRUPTIONS

# Positions in CORRUPTIONS; qinenergy/cotta at c212a20, the gradual CIFAR and the ImageNet scripts.
COTTA = (
    (10, 13, 0, 5, 6, 4, 2, 14, 3, 12, 1, 8, 7, 9, 11),
    (14, 1, 6, 8, 11, 9, 3, 12, 0, 10, 4, 2, 13, 7, 5),
    (11, 3, 0, 1, 7, 8, 4, 6, 12, 14, 13, 10, 2, 5, 9),
    (1, 9, 4, 13, 7, 12, 10, 2, 3, 8, 11, 0, 5, 14, 6),
    (13, 4, 6, 7, 9, 2, 10, 5, 8, 14, 0, 1, 11, 3, 12),
    (5, 7, 9, 1, 3, 11, 6, 10, 8, 12, 4, 0, 13, 14, 2),
    (8, 2, 14, 11, 6, 4, 13, 7, 3, 5, 10, 12, 1, 9, 0),
    (4, 6, 2, 9, 7, 14, 0, 8, 1, 10, 11, 5, 13, 3, 12),
    (3, 5, 6, 1, 0, 4, 14, 9, 11, 13, 8, 7, 10, 12, 2),
    (11, 0, 3, 6, 8, 4, 14, 9, 13, 12, 1, 2, 7, 5, 10),
)
# Positions in THREE_D_CORRUPTIONS; dhanajitb/petal at ae61118.
PETAL = (
    (0, 6, 10, 8, 11, 7, 9, 2, 3, 4, 5, 1),
    (10, 5, 6, 9, 8, 2, 11, 0, 1, 3, 7, 4),
    (10, 7, 4, 5, 6, 8, 3, 11, 2, 0, 9, 1),
    (0, 1, 7, 9, 5, 3, 4, 6, 2, 11, 8, 10),
    (7, 10, 5, 9, 0, 11, 4, 8, 3, 1, 6, 2),
    (10, 8, 2, 7, 9, 5, 3, 6, 4, 11, 1, 0),
    (8, 9, 10, 5, 4, 2, 3, 1, 6, 7, 11, 0),
    (1, 2, 7, 3, 8, 4, 5, 0, 11, 6, 10, 9),
    (4, 3, 7, 10, 6, 0, 8, 1, 5, 9, 2, 11),
    (5, 9, 4, 6, 3, 7, 2, 8, 1, 0, 11, 10),
)
# BIT-DA/RoTTA at 67e34c9 and hthieu166/petta at 5b4de7f.
ROTTA = (
    "motion_blur",
    "snow",
    "fog",
    "shot_noise",
    "defocus_blur",
    "contrast",
    "zoom_blur",
    "brightness",
    "frost",
    "elastic_transform",
    "glass_blur",
    "gaussian_noise",
    "pixelate",
    "jpeg_compression",
    "impulse_noise",
)
ORDERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cotta": tuple(tuple(CORRUPTIONS[i] for i in order) for order in COTTA),
    "petal_3dcc": tuple(tuple(THREE_D_CORRUPTIONS[i] for i in order) for order in PETAL),
    "rotta": (ROTTA,),
}


def ordered(corruptions: Sequence[str], order: str, number: int) -> list[str]:
    """A data set's corruptions in a published order; those it lacks are passed over.

    Args:
        corruptions: of the data set.
        order: name in ``ORDERS``.
        number: which of the orders under that name, from 0.

    Raises:
        ValueError: an unknown name or number, or a corruption that the order does not have.
    """
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {order!r}")
    orders = ORDERS[order]
    if not 0 <= number < len(orders):
        raise ValueError(f"order_number: {order} has 0 to {len(orders) - 1}, got {number}")
    for corruption in corruptions:
        if corruption not in orders[number]:
            raise ValueError(
                f"order: {order} does not have {corruption}; type dataset.corruptions=[...] with "
                f"some of {', '.join(sorted(orders[number]))}"
            )
    return [corruption for corruption in orders[number] if corruption in corruptions]
