"""A copy of a picture that shows which of its parts not to trust.

Trusted pixels are never touched. Every mark differs in lightness, not only in colour, so that it can be seen with any
kind of colour vision and in print.
"""

from typing import Literal, get_args

import numpy as np

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.images.grown import grown
from blackbox_conformal.images.picture import check_pixels
from blackbox_conformal.kernels.veil import veil
from blackbox_conformal.types import Image, Mask

Style = Literal["hatch", "dim", "outline"]

OUTLINE = np.array([255, 196, 0], dtype=np.uint8)
"""Amber: bright against the dimmed side, and a hue that all common kinds of colour vision tell from grey."""


def overlay(pixels: Image, mask: Mask, style: str = "hatch") -> Image:
    """`pixels` with its untrusted part marked: (H, W, 3) uint8.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8.
    mask
        (H, W) bool, True = trusted.
    style
        ``hatch``: the untrusted part is grey and darker, with diagonal stripes and a bright outline; ``dim``: the same
        without stripes; ``outline``: only the outline, with a dark edge, inside the untrusted part. Stripes and outline
        grow with the picture.

    Raises
    ------
    UsageError
        Another style.
    MapError
        A mask of another size.
    """
    pixels = check_pixels(pixels)
    if style not in get_args(Style):
        raise UsageError(f"expected an overlay style of {', '.join(get_args(Style))}; got {style!r}")
    if mask.shape != pixels.shape[:2] or mask.dtype != np.bool_:
        raise MapError(f"expected a bool mask of {pixels.shape[:2]}; got {mask.dtype} {mask.shape}")
    height, width = mask.shape
    thickness = max(1, round(min(height, width) / 350))
    pitch = max(6, 2 * round(min(height, width) / 80))
    near = grown(mask, thickness)
    outline = ~mask & near
    marked = pixels.copy()
    if style == "outline":
        # On a bright picture amber alone would be lost.
        marked[grown(near, thickness) & ~near] = 0
    else:
        veil(marked, mask, pitch, max(1, pitch // 4) if style == "hatch" else 0)
    marked[outline] = OUTLINE
    return marked
