"""Pixel variance: how much the draws differ at each pixel."""

from typing import ClassVar

from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.scores._bases import MomentsScore
from blackbox_conformal.support.types import Map


class PixelVariance(MomentsScore):
    """Variance over the M draws with divisor M, summed over channels, white = 1: in [0, 3/4].

    Exact up to one division; 0 if and only if all draws agree.
    """

    takes_bands: ClassVar[bool] = True
    candidates: ClassVar[tuple[str, ...]] = ()

    def of_moments(self, moments: Moments) -> Map:
        return moments.variance()


PLUGIN = PixelVariance
