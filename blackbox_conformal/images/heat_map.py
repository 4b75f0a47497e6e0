"""A score map in colours for people; `encode` writes the 16-bit map for programs."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError
from blackbox_conformal.types import Image, Map


def heat_map(values: Map, limits: tuple[float, float] | None = None, *, bar: bool = True) -> Image:
    """A score map in colours from dark (least) to light (most), with a scale bar on the right.

    Parameters
    ----------
    values
        (H, W) float; NaN and infinity, which mean no score, are drawn in a mid grey that the scale does not hold.
    limits
        Scores of the darkest and the lightest colour; None takes the smallest and largest score.
    bar
        Add the scale bar: the colours upwards, ticks at every quarter. It has no text; its ends are `limits`.

    Returns
    -------
    Image
        (H, W, 3) uint8, wider by the bar.

    Raises
    ------
    MapError
        Not a map, or limits that are not finite and rising.
    """
    if values.ndim != 2 or values.size == 0 or values.dtype.kind != "f":
        raise MapError(f"expected a (H, W) float map; got {values.dtype} {values.shape}")
    scored = np.isfinite(values)
    if limits is None:
        limits = (float(values[scored].min()), float(values[scored].max())) if scored.any() else (0.0, 1.0)
    low, high = limits
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise MapError(f"expected finite limits, lowest first; got {limits}")
    span = (high - low) or 1.0
    level = np.clip((np.where(scored, values, low).astype(np.float64) - low) / span, 0, 1)
    colours = colour_scale()
    picture: Image = colours[np.rint(level * 255).astype(np.intp)]
    picture[~scored] = 128
    return np.ascontiguousarray(np.hstack([picture, _bar(picture.shape[0], picture.shape[1])])) if bar else picture


@cache
def colour_scale() -> NDArray[np.uint8]:
    """256 colours, (256, 3) uint8, whose CIE lightness rises evenly from 8 to 96: dark blue, magenta, orange, cream.

    Built in CIE Lab: lightness is linear, hue turns once by a third of a circle, chroma is what sRGB can show.
    """
    position = np.linspace(0, 1, 256)
    lightness = 8 + 88 * position
    hue = np.deg2rad(285 + 165 * position)
    chroma = 68 * np.sin(np.pi * (0.1 + 0.82 * position)) ** 0.8
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return np.rint(255 * _srgb_from_lab(lab)).astype(np.uint8)


def _srgb_from_lab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in [0, 1] of CIE Lab under D65 (IEC 61966-2-1); chroma is reduced where sRGB has no such colour."""
    white = np.array([0.95047, 1.0, 1.08883])
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    to_rgb = np.linalg.inv(np.array(to_xyz))
    linear = np.empty_like(lab)
    scale = np.ones(len(lab))
    for _ in range(60):
        f = (lab[:, 0] + 16) / 116
        parts: Sequence[NDArray[np.float64]] = (f + scale * lab[:, 1] / 500, f, f - scale * lab[:, 2] / 200)
        xyz = np.stack([np.where(part > 6 / 29, part**3, (part - 4 / 29) * 3 * (6 / 29) ** 2) for part in parts], -1)
        linear = (xyz * white) @ to_rgb.T
        outside = ((linear < 0) | (linear > 1)).any(axis=1)
        if not outside.any():
            break
        scale[outside] *= 0.95
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _bar(height: int, width: int) -> Image:
    """White margin, the scale upwards, black ticks at every quarter."""
    thick = max(8, min(height, width) // 24)
    tick = max(1, thick // 8)
    area = np.full((height, 2 * thick, 3), 255, dtype=np.uint8)
    level = np.rint(np.linspace(255, 0, height)).astype(np.intp)
    area[:, thick // 2 : thick // 2 + thick] = colour_scale()[level][:, None]
    for quarter in range(5):
        row = min(round(quarter * (height - 1) / 4), height - tick)
        area[row : row + tick, thick // 2 + thick : 2 * thick] = 0
    return area
