"""Largest channel difference in sRGB."""

from typing import ClassVar

import numpy as np

from blackbox_conformal.method.kernels.distance import Planes, rgb_linf
from blackbox_conformal.method.metrics._averaged import RgbMetric
from blackbox_conformal.support.types import Image, Map


class RgbLinf(RgbMetric):
    """Largest over channels of absolute differences, white = 1: at most 1."""

    largest: ClassVar[float] = 1.0
    opposite_error: ClassVar[float] = 1.0

    def distance(self, truth: Image, delivered: Image) -> Map:
        return rgb_linf(truth, delivered)

    def norm(self, planes: Planes) -> Map:
        largest: Map = np.abs(planes).max(axis=0)
        return largest


PLUGIN = RgbLinf
