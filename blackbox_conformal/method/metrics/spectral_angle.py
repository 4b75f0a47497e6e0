"""Spectral angle: how far two spectra point apart, whatever their brightness."""

import math
from typing import ClassVar

from blackbox_conformal.method.kernels.spectra import spectral_angle
from blackbox_conformal.method.metrics._averaged import LocalMetric
from blackbox_conformal.support.types import Image, Map


class SpectralAngle(LocalMetric):
    """The angle in radians between the spectra of a pixel: at most a right angle, as no band is below its range.

    Bands are counted from the lower end of their range. A spectrum of 0 in all bands is a right angle from any other.
    """

    fewest_bands: ClassVar[int] = 2
    space: ClassVar[str] = "radians between spectra"
    largest: ClassVar[float] = math.pi / 2

    def distance(self, truth: Image, delivered: Image) -> Map:
        return spectral_angle(truth, delivered)


PLUGIN = SpectralAngle
