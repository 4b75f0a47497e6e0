"""Array aliases shared by every module."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture: (H, W, 3), 8-bit sRGB."""

Map = NDArray[np.float32]
"""One value a pixel: (H, W)."""

Mask = NDArray[np.bool_]
"""One decision a pixel: (H, W), True = trusted."""

__all__ = ["Image", "Map", "Mask"]
