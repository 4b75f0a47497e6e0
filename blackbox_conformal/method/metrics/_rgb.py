"""Norms of the colour difference in sRGB, and the bounds that one picture gives of them."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.kernels.distance import Planes, rgb_difference
from blackbox_conformal.method.metrics._averaged import AveragedMetric
from blackbox_conformal.method.risk.truth_bounds import farthest, rgb_planes
from blackbox_conformal.support.types import Image, Map


class RgbMetric(AveragedMetric):
    """A norm of the difference of sRGB colours, white = 1."""

    @property
    def grey_scale(self) -> NDArray[np.float64]:
        """From 0 for black to the largest error for white."""
        return self.largest * np.arange(256) / 255

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Signed differences of the three channels."""
        return rgb_difference(truth, delivered)

    def bound_from_delivered(self, delivered: Image) -> Map:
        """The largest value that the map can take, from the farthest corner of the colour cube."""
        return self._averaged_bound(rgb_planes(delivered), lambda planes: self.norm(farthest(planes)))

    def bound_from_input(
        self, low_resolution: Image, delivered: Image, steps: tuple[Degradation, ...], scale: int
    ) -> Map:
        """What the input says of the averaged truth; difference-of-blurs only."""
        if self.order != "difference-of-blurs":
            return super().bound_from_input(low_resolution, delivered, steps, scale)
        truth = self._truth_behind(low_resolution, delivered, steps, scale)
        blurred = rgb_planes(delivered)
        for plane in blurred:
            self._average(plane)
        # The metric's own bound holds as well, for every picture.
        largest: Map = np.minimum(self.norm(truth.largest_difference(blurred)), np.float32(self.bound))
        return largest
