"""Smoothed variance: the pixel variance averaged over each neighbourhood.

The sums it is made from are in `kernels.moments`, the averaging in `kernels.windows`.
"""

from typing import Self

from blackbox_conformal.indecision._windowed import Windowed
from blackbox_conformal.indecision.base import Context
from blackbox_conformal.kernels.moments import Moments
from blackbox_conformal.kernels.windows import average
from blackbox_conformal.types import Image, Map


class SmoothedVariance(Windowed):
    """`K * Var_M(mu)`, summed over channels, white = 1: in [0, 3/4]; exactly 0 where all draws agree within reach of K.

    Attributes
    ----------
    kernel
        `gaussian` or `box`.
    sigma
        Standard deviation of the Gaussian in pixels, 4 unless given.
    size
        Side of the box in pixels, odd, 31 unless given.
    """

    def start(self, shape: tuple[int, int]) -> "SmoothedVarianceAccumulator":
        """An empty accumulator for draws of `shape` = (H, W)."""
        return SmoothedVarianceAccumulator(self, shape)


class SmoothedVarianceAccumulator:
    """Integer sums of the draws seen."""

    def __init__(self, score: SmoothedVariance, shape: tuple[int, int]) -> None:
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
        score = self.score
        return score.polish(average(self.moments.variance(), score.kernel, score.sigma, score.size))


PLUGIN = SmoothedVariance
