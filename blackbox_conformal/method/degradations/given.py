"""Inputs that came with their photographs, such as pairs of two cameras."""

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from blackbox_conformal.method.degradations.reduction import Reduction


class Given(Reduction):
    """Makes nothing: each photograph comes with its input, and the promise is for inputs that came about as those.

    Scores and metrics that ask how large inputs are made take a bicubic reduction.
    """

    linear = False
    given = True
    filter = Resampling.BICUBIC

    def along_axis(self, length: int) -> NDArray[np.float64] | None:
        return None


PLUGIN = Given
