"""Lay grey, darkness and stripes over the part of a picture that is not trusted."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image, Mask

BITS = 16
"""Shares are multiples of 2^-16."""

RED, GREEN, BLUE = (round(share * 2**8) for share in (0.299, 0.587, 0.114))
"""The parts of the lightness (BT.601) in 2^-8."""

DIMMED = 0.42
COLOUR = round(0.15 * DIMMED * 2**BITS)
GREY = round(0.85 * DIMMED * 2**BITS)
STRIPE = round(0.85 * 255 * 0.34 * (1 - DIMMED) * 2**BITS)
"""The rest of the colour, so that the eye still finds its way; the lightness added to it, and in stripes of white."""


def veil(pixels: Image, mask: Mask, pitch: int, thickness: int) -> None:
    """Darken `pixels` where `mask` is False.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8, C-contiguous; changed in place.
    mask
        (H, W) bool.
    pitch, thickness
        Pixels along a row from a diagonal stripe to the next, and of a stripe; 0 for none.
    """
    _veil(pixels, np.ascontiguousarray(mask), pitch, thickness)


@kernel
def _veil(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], pitch: int, thickness: int) -> None:
    height, width = mask.shape
    for y in range(height):
        # The stripe's place along the row moves on by one each row: that makes stripes diagonal.
        place = y % pitch
        for x in range(width):
            if not mask[y, x]:
                red, green, blue = (
                    np.int32(pixels[y, x, 0]),
                    np.int32(pixels[y, x, 1]),
                    np.int32(pixels[y, x, 2]),
                )
                # Lightness comes in 2^-8 and its share in 2^-16, so 8 bits go; what is added rounds the last shift to
                # nearest.
                light = (GREY * (RED * red + GREEN * green + BLUE * blue) >> 8) + (1 << (BITS - 1))
                light += STRIPE if place < thickness else 0
                pixels[y, x, 0] = (COLOUR * red + light) >> BITS
                pixels[y, x, 1] = (COLOUR * green + light) >> BITS
                pixels[y, x, 2] = (COLOUR * blue + light) >> BITS
            # Counting up is cheaper than a remainder for each pixel.
            place = place + 1 if place + 1 < pitch else 0


def warm_up() -> None:
    veil(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.bool_), 6, 1)
