"""Array aliases shared by every module."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError

# Other programs hold pixels as numbers from 0 to 1; this project keeps bytes.


def eight_bit(pixels: NDArray[Any]) -> NDArray[Any]:
    """Round numbers from 0 to 1 to uint8; return arrays without floating-point numbers unchanged."""
    if pixels.dtype.kind != "f" or not pixels.size:
        return pixels
    lowest, highest = float(pixels.min()), float(pixels.max())
    # Networks overshoot a little; values further out were not from 0 to 1. NaN compares false.
    if not (lowest >= -1 and highest <= 2):
        raise ImageError(
            f"expected uint8, or numbers from 0 to 1; got {pixels.dtype} from {lowest:g} to {highest:g}. "
            "Divide numbers from 0 to 255 by 255"
        )
    if (below := float(np.mean(pixels < -0.25))) > 0.02:
        raise ImageError(
            f"expected numbers from 0 to 1; {below:.0%} of them are far below 0, as where black is -1. Give "
            "(pixels + 1) / 2"
        )
    rounded: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return rounded


Image = NDArray[np.uint8]  # A picture: (H, W, 3), 8-bit sRGB.
Map = NDArray[np.float32]  # One value a pixel: (H, W).
Mask = NDArray[np.bool_]  # One decision a pixel: (H, W), True = trusted.
__all__ = ["Image", "Map", "Mask"]
