"""Unsharp masking: how cameras, phones and sites sharpen."""

import numpy as np
from pydantic import Field

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import Range, between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.kernels.gaussian_blur import blurred
from blackbox_conformal.support.types import Image


class Unsharp(Degradation):
    """Adds to each value what a blur takes from it.

    The parameters mean what they mean in Pillow's ``UnsharpMask``; the blur is a true Gaussian, in whole numbers.

    `percent`: How much is added, in percent of the difference from the blurred picture, or a range of whole numbers.
    `radius`: Standard deviation of the blur in pixels, or a range.
    `threshold`: Differences of at most so many levels are left as they are.
    """

    main = "percent"

    percent: between(0, 500, whole=True) = Field(default=Range(150, 150), examples=["50", "50-150"])  # type: ignore[valid-type]
    radius: between(0.1, 20) = Field(default=Range(2, 2), examples=["0.8-1.5"])  # type: ignore[valid-type]
    threshold: int = Field(default=3, ge=0, le=255, examples=[0])

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Round towards the pixel, and clip to 0-255."""
        sharp, percent = pixels.astype(np.int16), int(self.percent.low)
        difference = sharp - blurred(pixels, self.radius.low)
        size_of = np.arange(-255, 256)
        added = np.sign(size_of) * (np.abs(size_of) * percent // 100) * (np.abs(size_of) > self.threshold)
        sharp += added.astype(np.int16)[difference + 255]
        return np.clip(sharp, 0, 255).astype(np.uint8, order="C")


PLUGIN = Unsharp
