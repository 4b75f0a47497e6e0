"""Whole-pixel shifts of the input with reflected borders, undone exactly on the output.

A shift by whole input pixels is undone by a shift of whole output pixels, without interpolation.
"""

import numpy as np

from blackbox_conformal.method.images.perturbation.perturbation import Perturbation
from blackbox_conformal.support.types import Image

_OFFSETS = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2), (3, 0), (0, 3), (3, 3))


class Shift(Perturbation):
    """Draw k moves the picture down and right by up to three input pixels."""

    @property
    def maximum_draws(self) -> int:
        return len(_OFFSETS)

    def apply(self, pixels: Image, index: int) -> Image:
        """(h + 3, w + 3, 3) uint8: every draw has the same size, whatever its offset."""
        down, right = _OFFSETS[index]
        return np.ascontiguousarray(np.pad(pixels, ((down, 3 - down), (right, 3 - right), (0, 0)), mode="symmetric"))

    def undo(self, pixels: Image, index: int, scale: int) -> Image:
        """Cut the unshifted grid out of the larger output."""
        down, right = (offset * scale for offset in _OFFSETS[index])
        height, width = pixels.shape[0] - 3 * scale, pixels.shape[1] - 3 * scale
        return np.ascontiguousarray(pixels[down : down + height, right : right + width])


PLUGIN = Shift
