"""A copy of a picture that shows which of its parts not to trust.

Trusted pixels are never touched, but for dots where no detail was added. Every mark differs in lightness, not only in
colour, so that it can be seen with any kind of colour vision and in print.
"""

import numpy as np

from blackbox_conformal.errors import MapError
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.method.kernels.veil import veil
from blackbox_conformal.support.types import Image, Mask

# A mask and what lies close around it.


def grown(mask: Mask, steps: int) -> Mask:
    """`mask`, (H, W) bool, and every pixel that is at most `steps` steps to a side, up or down away from it."""
    wider = mask
    for _ in range(steps):
        inner, wider = wider, wider.copy()
        wider[1:] |= inner[:-1]
        wider[:-1] |= inner[1:]
        wider[:, 1:] |= inner[:, :-1]
        wider[:, :-1] |= inner[:, 1:]
    return wider


OUTLINE = np.array([255, 196, 0], dtype=np.uint8)
"""Amber: bright against the dimmed side, and a hue that all common kinds of colour vision tell from grey."""


def overlay(pixels: Image, mask: Mask, unchanged: Mask | None = None) -> Image:
    """`pixels` with its untrusted part grey and darker, with diagonal stripes and a bright outline: (H, W, 3) uint8.

    Stripes, outline and dots grow with the picture. A dot is a white square with a black one at its corner, so that it
    is seen on every ground.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8.
    mask
        (H, W) bool, True = trusted.
    unchanged
        (H, W) bool, True where no detail was added: dotted where it is trusted.
    """
    pixels = check_pixels(pixels)
    if mask.shape != pixels.shape[:2] or mask.dtype != np.bool_:
        raise MapError(f"expected a bool mask of {pixels.shape[:2]}; got {mask.dtype} {mask.shape}")
    height, width = mask.shape
    thickness = max(1, round(min(height, width) / 350))
    pitch = stripe_pitch(height, width)
    marked = pixels.copy()
    veil(marked, mask, pitch, max(1, pitch // 4))
    if unchanged is not None:
        squares = dot_squares(height, width, pitch, max(1, pitch // 6))
        for dots, colour in zip(squares, (255, 0), strict=True):
            marked[dots & unchanged & mask] = colour
    marked[~mask & grown(mask, thickness)] = OUTLINE
    return marked


def stripe_pitch(height: int, width: int) -> int:
    """How many pixels lie from stripe to stripe in a picture of this size."""
    return max(6, 2 * round(min(height, width) / 80))


def dot_squares(height: int, width: int, period: int, side: int) -> tuple[Mask, Mask]:
    """The white and the black squares of dots, (H, W) bool each: `side` pixels a side, 2 `period` from dot to dot."""
    rows, columns = np.arange(4 * period)[:, None], np.arange(2 * period)
    # Every other row of dots is moved by half of their distance. One piece of the pattern is repeated over the picture.
    down, along = rows % (2 * period), (columns + rows // (2 * period) * period) % (2 * period)
    white = (down < side) & (along < side)
    black = (down // side == 1) & (along // side == 1)
    repeats = -(-height // (4 * period)), -(-width // (2 * period))
    return np.tile(white, repeats)[:height, :width], np.tile(black, repeats)[:height, :width]
