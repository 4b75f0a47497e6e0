"""Grey: the picture without its colours, which a colouriser puts back."""

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.support.types import Image


class Grey(Degradation):
    """Takes the colours away: each channel becomes the luma of Recommendation ITU-R BT.601."""

    linear = True
    loses_colours = True

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Convert by Pillow's ``L``, in 16-bit fixed point."""
        luma = np.asarray(PillowImage.fromarray(pixels).convert("L"))
        return np.repeat(luma[:, :, None], 3, axis=2)


PLUGIN = Grey
