"""Error of colour alone, lightness left out: for colourisation, where the input already gives the lightness."""

from typing import ClassVar

import numpy as np

from blackbox_conformal.method.kernels.distance import Planes, lab_difference, lab_planes
from blackbox_conformal.method.metrics._averaged import AveragedMetric
from blackbox_conformal.method.risk.truth_bounds import farthest_chroma
from blackbox_conformal.support.types import Image, Map


class Chroma(AveragedMetric):
    """Sum of absolute differences of `a/254` and `b/254` in CIE 1976 Lab: `lab-l1` without lightness, never above it.

    The largest value, 1.403172 rounded up, is the L1 diameter of the sRGB gamut in these two coordinates, attained
    between pure green and pure blue.
    """

    space: ClassVar[str] = "a and b of normalised Lab"
    largest: ClassVar[float] = 1.40318
    opposite_error: ClassVar[float] = 1.403171

    @property
    def opposites(self) -> str:
        return "pure green in place of pure blue"

    @property
    def pointwise_root_mean_square(self) -> bool:  # type: ignore[override]
        return False

    def distance(self, truth: Image, delivered: Image) -> Map:
        return self.norm(self.difference(truth, delivered))

    def difference(self, truth: Image, delivered: Image) -> Planes:
        return lab_difference(truth, delivered)[1:]

    def norm(self, planes: Planes) -> Map:
        total: Map = np.abs(planes[0]) + np.abs(planes[1])
        return total

    def bound_from_delivered(self, delivered: Image) -> Map:
        return self._averaged_bound(lab_planes(delivered), farthest_chroma)


PLUGIN = Chroma
