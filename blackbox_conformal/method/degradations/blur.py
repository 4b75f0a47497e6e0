"""Gaussian blur: a lens out of focus, or what a filter before a reduction does."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.kernels.gaussian_blur import BITS, MAX_SIGMA, blurred, fixed_taps
from blackbox_conformal.method.risk.resampling import reflected_matrix
from blackbox_conformal.support.types import Image


class Blur(Degradation):
    """Averages each pixel with its neighbours by a Gaussian; beyond the border the picture is reflected.

    `sigma`: Standard deviation in pixels, or its range. The Gaussian ends at four of them.
    """

    main = "sigma"
    linear = True

    sigma: between(0.01, MAX_SIGMA) = Field(examples=["1.5", "0.2-3"])  # type: ignore[valid-type]

    def along_axis(self, length: int) -> NDArray[np.float64] | None:
        if not self.sigma.fixed:
            return None
        return reflected_matrix(length, np.array(fixed_taps(self.sigma.low)) / 2**BITS)

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Blur in whole numbers, so that every machine gives the same result."""
        return blurred(pixels, self.sigma.low)


PLUGIN = Blur
