"""What is measured of an answer to a canary: a few numbers, each of which a change of a vendor moves up or down.

Each is a number of the picture alone or of it beside what was sent, fixed before any visit; so draws of an unchanged
vendor stay exchangeable. Most changes (tone, sharpening, compression, another network) move all canaries one way.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.images.making_inputs import block_means
from blackbox_conformal.support.types import Image

FEATURES = (
    "lightness",
    "warmth",
    "tint",
    "contrast",
    "saturation",
    "sharpness",
    "detail",
    "colour detail",
    "blocks",
    "faithfulness",
)
"""Mean luminance; mean of red less blue; mean of green less the others; standard deviation of luminance; mean distance
from grey; mean step between neighbours; mean square of the finest detail; mean step of colour; how much larger steps
are on the grid of JPEG; mean difference of the picture made small again from what was sent. All in grey levels."""

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_GRID = 8
_DIGITS = 9
"""Significant digits that are kept: equal pictures have equal features on every machine."""

Plane = NDArray[np.float64]


def features(pixels: Image, sent: Image) -> dict[str, float]:
    """The value of each of `FEATURES`.

    Parameters
    ----------
    pixels
        (k h, k w, 3) uint8, the answer.
    sent
        (h, w, 3) uint8, what was sent.
    """
    colours = pixels.astype(np.float64)
    luminance = colours @ _LUMINANCE
    warmth = colours[..., 0] - colours[..., 2]
    tint = colours[..., 1] - (colours[..., 0] + colours[..., 2]) / 2
    across, down = _steps(luminance)
    values = (
        luminance.mean(),
        warmth.mean(),
        tint.mean(),
        luminance.std(),
        (np.abs(warmth) + np.abs(tint)).mean(),
        across.mean() + down.mean(),
        _detail(luminance),
        sum(step.mean() for plane in (warmth, tint) for step in _steps(plane)),
        _blocks(across.mean(axis=0)) + _blocks(down.mean(axis=1)),
        np.abs(block_means(pixels, sent.shape[1], sent.shape[0]).astype(np.float64) - sent).mean(),
    )
    # Nine digits: two machines may differ in the last ones, and equal pictures must have equal features.
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in zip(FEATURES, values, strict=True)}


def _steps(plane: Plane) -> tuple[Plane, Plane]:
    """Absolute differences to the right and down; one of 0 where the plane is one pixel wide or high."""
    across, down = np.abs(np.diff(plane, axis=1)), np.abs(np.diff(plane, axis=0))
    return (across if across.size else np.zeros((1, 1))), (down if down.size else np.zeros((1, 1)))


def _detail(plane: Plane) -> float:
    """Mean square of what the mean of the four neighbours leaves; borders are repeated."""
    wide = np.pad(plane, 1, mode="edge")
    around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    return float(np.square(plane - around).mean())


def _blocks(steps: Plane) -> float:
    """Mean of the (n,) steps that cross the grid of JPEG, less the mean of all others; 0 where there are none."""
    # JPEG works in blocks of 8 x 8, so its damage lies on every eighth line.
    crossing = np.arange(1, len(steps) + 1) % _GRID == 0
    return float(steps[crossing].mean() - steps[~crossing].mean()) if crossing.any() else 0.0
