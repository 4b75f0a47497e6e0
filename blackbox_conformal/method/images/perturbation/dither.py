"""Seeded ±1 changes of the 8-bit input, smaller than what the camera's own noise does; nothing to undo.

Its spread ranks errors worse than the dihedral group's spread. It serves vendors to whom a turned picture is another
one (text, faces, watermarks).
"""

import numpy as np

from blackbox_conformal.method.images.perturbation.perturbation import Perturbation
from blackbox_conformal.support.types import Image


class Dither(Perturbation):
    """Draw k > 0 adds -1, 0 or +1 to every value, from a generator seeded by k; draw 0 is unchanged."""

    @property
    def maximum_draws(self) -> None:
        """No limit."""
        return

    def apply(self, pixels: Image, index: int) -> Image:
        """(h, w, 3) uint8."""
        if index == 0:
            return pixels
        noise = np.random.Generator(np.random.Philox(index)).integers(-1, 2, size=pixels.shape, dtype=np.int16)
        dithered: Image = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        return dithered

    def undo(self, pixels: Image, index: int, scale: int) -> Image:
        """The output itself."""
        return pixels


PLUGIN = Dither
