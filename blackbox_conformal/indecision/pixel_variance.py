"""Pixel variance: how much the draws differ at each pixel.

The sums it is made from are in `kernels.moments`.
"""

from typing import Self

from blackbox_conformal.indecision._clip_and_smooth import ClippedAndSmoothed
from blackbox_conformal.indecision.base import Context
from blackbox_conformal.kernels.moments import Moments
from blackbox_conformal.types import Image, Map


class PixelVariance(ClippedAndSmoothed):
    """Variance over the M draws with divisor M, summed over channels, white = 1: in [0, 3/4].

    Exact up to one division; 0 if and only if all draws agree.
    """

    def start(self, shape: tuple[int, int]) -> "PixelVarianceAccumulator":
        """An empty accumulator for draws of `shape` = (H, W)."""
        return PixelVarianceAccumulator(self, shape)


class PixelVarianceAccumulator:
    """Integer sums of the draws seen."""

    def __init__(self, score: PixelVariance, shape: tuple[int, int]) -> None:
        self.score = score
        self.moments = Moments(shape)

    def update(self, pixels: Image) -> None:
        """Take one draw: (H, W, 3) uint8."""
        self.moments.add(pixels)

    def merge(self, other: Self) -> None:
        """Take over what `other` has seen."""
        self.moments.merge(other.moments)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32."""
        return self.score.polish(self.moments.variance())


PLUGIN = PixelVariance
