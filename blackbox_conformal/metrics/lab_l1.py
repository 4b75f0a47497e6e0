"""L1 distance in normalised Lab, the metric of Adame, Csillag and Goedert (2025)."""

from typing import ClassVar

from blackbox_conformal.kernels.distance import Planes, lab_difference, lab_l1, lab_planes
from blackbox_conformal.metrics._averaged import AveragedMetric
from blackbox_conformal.risk.truth_bounds import farthest_lab_l1
from blackbox_conformal.types import Image, Map


class LabL1(AveragedMetric):
    """Sum of absolute differences of `L/100`, `a/254 + 1/2`, `b/254 + 1/2`.

    The largest value, 1.95757 rounded up, is the L1 diameter of the sRGB gamut in this space, attained between pure
    green and pure blue; any two colours in [0, 1]^3 could be 3 apart.
    """

    space: ClassVar[str] = "normalised Lab"
    sums_channels: ClassVar[bool] = True
    largest: ClassVar[float] = 1.9576

    def distance(self, truth: Image, delivered: Image) -> Map:
        """The pointwise map."""
        return lab_l1(truth, delivered)

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Signed differences of the three normalised Lab planes."""
        return lab_difference(truth, delivered)

    def bound_from_delivered(self, delivered: Image) -> Map:
        """The largest value that the map can take, from the farthest colours of the sRGB gamut."""
        return self._averaged_bound(lab_planes(delivered), farthest_lab_l1)


PLUGIN = LabL1
