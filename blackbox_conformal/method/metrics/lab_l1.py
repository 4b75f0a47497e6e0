"""L1 distance in normalised Lab, the metric of Adame, Csillag and Goedert (2025)."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.kernels.distance import Planes, lab_difference, lab_l1, lab_planes
from blackbox_conformal.method.metrics._averaged import AveragedMetric
from blackbox_conformal.method.risk.truth_bounds import average_of_distances, distance_of_averages, farthest_lab_l1
from blackbox_conformal.support.types import Image, Map


class LabL1(AveragedMetric):
    """Sum of absolute differences of `L/100`, `a/254 + 1/2`, `b/254 + 1/2`.

    The largest value, 1.95757 rounded up, is the L1 diameter of the sRGB gamut in this space, attained between pure
    green and pure blue; any two colours in [0, 1]^3 could be 3 apart.
    """

    space: ClassVar[str] = "normalised Lab"
    sums_channels: ClassVar[bool] = True
    largest: ClassVar[float] = 1.9576
    opposite_error: ClassVar[float] = 1.0

    @property
    def grey_scale(self) -> NDArray[np.float64]:
        """Return ``L/100`` of each grey (CIE 1976)."""
        encoded = np.arange(256) / 255
        # The sRGB transfer function (IEC 61966-2-1) and CIE's exact constants: the scale is shown, not compared.
        linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        return np.where(linear > 216 / 24389, 1.16 * np.cbrt(linear) - 0.16, linear * 24389 / 2700)

    def distance(self, truth: Image, delivered: Image) -> Map:
        return lab_l1(truth, delivered)

    def difference(self, truth: Image, delivered: Image) -> Planes:
        return lab_difference(truth, delivered)

    def bound_from_delivered(self, delivered: Image) -> Map:
        return self._averaged_bound(lab_planes(delivered), farthest_lab_l1)

    def bound_from_input(
        self, low_resolution: Image, delivered: Image, steps: tuple[Degradation, ...], scale: int
    ) -> Map:
        """Return what input and delivered colours say together, never above what the colours say alone."""
        if self.order == "pointwise":
            return super().bound_from_input(low_resolution, delivered, steps, scale)
        truth, lab = self._truth_behind(low_resolution, delivered, steps, scale), lab_planes(delivered)
        if self.order == "blur-of-difference":
            largest = average_of_distances(lab, truth, self._average)
        else:
            for plane in lab:
                self._average(plane)
            largest = distance_of_averages(lab, truth)
        # The metric's own bound holds as well, for every picture.
        return np.minimum(largest, np.float32(self.bound), out=largest)


PLUGIN = LabL1
