"""Largest channel difference in sRGB.

The arithmetic is in `kernels.distance`; orders and windows are in `_averaged`.
"""

from typing import ClassVar

import numpy as np

from blackbox_conformal.kernels.distance import Planes, rgb_difference, rgb_linf
from blackbox_conformal.metrics._averaged import AveragedMetric
from blackbox_conformal.types import Image, Map


class RgbLinf(AveragedMetric):
    """Largest over channels of absolute differences, white = 1: at most 1."""

    largest: ClassVar[float] = 1.0

    def distance(self, truth: Image, delivered: Image) -> Map:
        """The pointwise map."""
        return rgb_linf(truth, delivered)

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Signed differences of the three channels."""
        return rgb_difference(truth, delivered)

    def norm(self, planes: Planes) -> Map:
        """The largest absolute difference at each pixel."""
        largest: Map = np.abs(planes).max(axis=0)
        return largest


PLUGIN = RgbLinf
