"""L1 distance in sRGB."""

from typing import ClassVar

from blackbox_conformal.method.kernels.distance import rgb_l1
from blackbox_conformal.method.metrics._averaged import RgbMetric
from blackbox_conformal.support.types import Image, Map


class RgbL1(RgbMetric):
    """Sum over channels of absolute differences, white = 1: at most 3, between black and white."""

    sums_channels: ClassVar[bool] = True
    largest: ClassVar[float] = 3.0
    opposite_error: ClassVar[float] = 3.0

    def distance(self, truth: Image, delivered: Image) -> Map:
        return rgb_l1(truth, delivered)


PLUGIN = RgbL1
