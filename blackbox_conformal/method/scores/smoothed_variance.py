"""Smoothed variance: the pixel variance averaged over each neighbourhood."""

from typing import ClassVar

from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.kernels.windows import average
from blackbox_conformal.method.scores._bases import MomentsScore, Windowed
from blackbox_conformal.support.types import Map


class SmoothedVariance(Windowed, MomentsScore):
    """`K * Var_M(mu)`, summed over channels, white = 1: in [0, 3/4]; exactly 0 where draws agree within K's reach."""

    takes_bands: ClassVar[bool] = True
    candidates: ClassVar[tuple[str, ...]] = ("", "sigma=2", "sigma=8")

    def of_moments(self, moments: Moments) -> Map:
        variance = moments.variance()
        moments.clear()
        return average(variance, self.kernel, self.sigma, self.size, overwrite=True)


PLUGIN = SmoothedVariance
