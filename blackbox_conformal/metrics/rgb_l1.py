"""L1 distance in sRGB.

The arithmetic is in `kernels.distance`; orders and windows are in `_averaged`.
"""

from typing import ClassVar

from blackbox_conformal.kernels.distance import Planes, rgb_difference, rgb_l1
from blackbox_conformal.metrics._averaged import AveragedMetric
from blackbox_conformal.types import Image, Map


class RgbL1(AveragedMetric):
    """Sum over channels of absolute differences, white = 1: at most 3, between black and white."""

    sums_channels: ClassVar[bool] = True
    largest: ClassVar[float] = 3.0

    def distance(self, truth: Image, delivered: Image) -> Map:
        """The pointwise map."""
        return rgb_l1(truth, delivered)

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Signed differences of the three channels."""
        return rgb_difference(truth, delivered)


PLUGIN = RgbL1
