"""A copy of a picture that shows which of its parts not to trust.

Trusted pixels are never touched. Every mark differs in lightness, not only in colour, so that it can be seen with any
kind of colour vision and in print.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.images.grown import grown
from blackbox_conformal.images.picture import check_pixels
from blackbox_conformal.types import Image, Mask

Style = Literal["hatch", "dim", "outline"]

OUTLINE = np.array([255, 196, 0], dtype=np.float32)
"""Amber: bright against the dimmed side, and a hue that all common kinds of colour vision tell from grey."""

_LIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_DIMMED = 0.42
_STRIPE = 0.34
_ROWS = 32
"""Rows marked at once: what is between stays in the cache."""


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
    for top in range(0, height, _ROWS):
        band = slice(top, top + _ROWS)
        away = ~mask[band]
        if style != "outline":
            grey = pixels[band].astype(np.float32) @ _LIGHTNESS
            shade = grey * _DIMMED
            if style == "hatch":
                shade = np.where(_stripes(top, grey.shape, pitch), shade + 255 * _STRIPE * (1 - _DIMMED), shade)
            # A touch of the colour is left, so that the eye still finds its way.
            mixed = pixels[band] * np.float32(0.15 * _DIMMED)
            mixed += 0.85 * shade[..., None]
            np.rint(np.minimum(mixed, 255, out=mixed), out=mixed)
            np.copyto(marked[band], mixed.astype(np.uint8), where=away[..., None])
        marked[band][outline[band]] = OUTLINE.astype(np.uint8)
    return marked


def _stripes(top: int, shape: tuple[int, ...], pitch: int) -> NDArray[np.bool_]:
    """Diagonal stripes, a quarter of `pitch` wide, of the rows that start at `top`."""
    rows = np.arange(top, top + shape[0])[:, None]
    columns = np.arange(shape[1])[None, :]
    return (rows + columns) % pitch < max(1, pitch // 4)
