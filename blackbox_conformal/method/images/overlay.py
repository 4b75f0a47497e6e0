"""A copy of a picture that shows which of its parts not to trust.

Trusted pixels are never touched, but for dots where no detail was added, and where the answer differs from its input.
Every mark differs in lightness, not only in colour, so that it can be seen with any kind of colour vision and in print.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError
from blackbox_conformal.method.images.picture import check_pixels
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


_BITS = 16  # Shares are multiples of 2^-16.
# The parts of the lightness (BT.601) in 2^-8.
_LIGHTNESS = np.array([round(share * 2**8) for share in (0.299, 0.587, 0.114)], np.int32)


class Veil(NamedTuple):
    """How much of a pixel's own colour, and of its lightness as grey, is left, and what a stripe adds, all in 2^-16."""

    colour: int
    lightness: int
    stripe: int  # With what is left of white it must not exceed 255.
    crossed: bool  # Whether stripes run along both diagonals.


def _veil(dimmed: float, grey: float, stripe: float, *, crossed: bool = False) -> Veil:
    # Leaves `dimmed` of the lightness, and takes the share `grey` of the colour out of it.
    colour, lightness, stripes = (round(each * 2**_BITS) for each in ((1 - grey) * dimmed, grey * dimmed, stripe))
    return Veil(colour, lightness, stripes, crossed)


# What lies below must be seen: unproven detail may be right. The rest of the colour helps the eye find its way.
UNPROVEN = _veil(0.66, 0.5, 60)
AGAINST = _veil(0.42, 0.85, 75, crossed=True)
_ROWS = 64  # Rows that are veiled at once: what is between stays small.


def veil(pixels: Image, mask: Mask, pitch: int, thickness: int, kind: Veil = UNPROVEN) -> None:
    """Darken `pixels`, (H, W, 3) uint8, in place where `mask`, (H, W) bool, is False.

    From a diagonal stripe to the next lie `pitch` pixels along a row; a stripe is `thickness` wide, 0 for none.
    """
    for top in range(0, len(mask), _ROWS):
        y, x = np.nonzero(~mask[top : top + _ROWS])
        y += top
        colours, striped = pixels[y, x].astype(np.int32), (x + y) % pitch < thickness
        if kind.crossed:
            striped |= (x - y) % pitch < thickness
        # Lightness comes in 2^-8 and its share in 2^-16, so 8 bits go; what is added rounds the last shift to nearest.
        light = (kind.lightness * (colours @ _LIGHTNESS) >> 8) + (1 << (_BITS - 1)) + kind.stripe * striped
        pixels[y, x] = (kind.colour * colours + light[:, None]) >> _BITS


OUTLINE = np.array([255, 196, 0], dtype=np.uint8)
"""Amber: bright against the dimmed side, and a hue that all common kinds of colour vision tell from grey."""


DIFFERING = np.array([0, 229, 255], dtype=np.uint8)
"""Cyan, beside a black line: far from amber for all common kinds of colour vision."""


def overlay(
    pixels: Image,
    mask: Mask,
    detail: NDArray[np.uint8] | None = None,
    differing: Iterable[tuple[int, int, int, int]] = (),
) -> Image:
    """`pixels` with its untrusted part darker and paler, with diagonal stripes and a bright outline: (H, W, 3) uint8.

    Stripes, outline and dots grow with the picture. A dot is a white square with a black one at its corner, so that it
    is seen on every ground.

    `detail`: (H, W) uint8: 0 where no detail was added: dotted where trusted; 2 where it is contradicted: where not
      trusted, darker and with stripes along both diagonals.
    `differing`: top, left, height and width of places where the answer differs from its input; framed and hatched in
    `DIFFERING`, across the stripes.
    """
    pixels = check_pixels(pixels)
    if mask.shape != pixels.shape[:2] or mask.dtype != np.bool_:
        raise MapError(f"expected a bool mask of {pixels.shape[:2]}; got {mask.dtype} {mask.shape}")
    height, width = mask.shape
    thickness = max(1, round(min(height, width) / 350))
    pitch = stripe_pitch(height, width)
    marked = pixels.copy()
    against = np.zeros_like(mask) if detail is None else ~mask & (detail == 2)
    veil(marked, mask | against, pitch, max(1, pitch // 5))
    veil(marked, ~against, pitch, max(1, pitch // 5), AGAINST)
    if detail is not None:
        squares = dot_squares(height, width, pitch, max(1, pitch // 6))
        for dots, colour in zip(squares, (255, 0), strict=True):
            marked[dots & (detail == 0) & mask] = colour
    marked[~mask & grown(mask, thickness)] = OUTLINE
    for top, left, tall, wide in differing:
        part = marked[top : top + tall, left : left + wide]
        y, x = np.indices(part.shape[:2])
        across = (x - y) % (2 * pitch)
        nearest = np.minimum.reduce([y, x, part.shape[0] - 1 - y, part.shape[1] - 1 - x])
        lines, framed = across < 2 * thickness, nearest < thickness
        part[~lines & (across < 3 * thickness)] = 0
        part[lines | framed] = DIFFERING
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
