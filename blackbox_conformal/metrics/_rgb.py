"""Norms of the colour difference in sRGB, and the bounds that one picture gives of them.

The arithmetic of the bounds is in `risk.at_hand` and `risk.certain`.
"""

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.kernels.distance import Planes, rgb_difference
from blackbox_conformal.metrics._averaged import AveragedMetric
from blackbox_conformal.risk.at_hand import farthest_rgb, rgb_planes
from blackbox_conformal.risk.certain import blurred_truth
from blackbox_conformal.types import Image, Map


class RgbMetric(AveragedMetric):
    """A norm of the difference of sRGB colours, white = 1."""

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Signed differences of the three channels."""
        return rgb_difference(truth, delivered)

    def farthest(self, delivered: Image) -> Map:
        """The most that the map can show, from the farthest corner of the colour cube."""
        return self._farthest(rgb_planes(delivered), lambda planes: self.norm(farthest_rgb(planes)))

    def certain_map(self, low_resolution: Image, delivered: Image, scale: int) -> Map:
        """What the input says of the averaged truth; difference-of-blurs only."""
        if self.order != "difference-of-blurs" or self.kernel is None:
            return super().certain_map(low_resolution, delivered, scale)
        height, width = low_resolution.shape[0] * scale, low_resolution.shape[1] * scale
        if delivered.shape[:2] != (height, width):
            raise UsageError(
                f"expected a delivered picture of {width}×{height}; got {delivered.shape[1]}×{delivered.shape[0]}"
            )
        truth = blurred_truth(low_resolution, scale, window=self.kernel, sigma=self.sigma, size=self.size)
        blurred = rgb_planes(delivered)
        for plane in blurred:
            self._average(plane)
        most: Map = np.minimum(self.norm(truth.largest_difference(blurred)), np.float32(self.bound))
        return most
