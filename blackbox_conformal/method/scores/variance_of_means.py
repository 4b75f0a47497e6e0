"""Variance of means: how much the draws differ once each is averaged over the neighbourhood."""

from typing import Self

import numpy as np

from blackbox_conformal.method.kernels._checks import image
from blackbox_conformal.method.kernels.moments import FixedPointMoments
from blackbox_conformal.method.kernels.windows import average
from blackbox_conformal.method.scores._bases import Windowed
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Image, Map


class VarianceOfMeans(Windowed):
    """`Var_M(K * mu)` with divisor M, summed over channels, white = 1: in [0, 3/4]; exactly 0 where all draws agree.

    Unlike the smoothed variance it forgives draws that differ in grain only, and counts draws that differ in tone.

    `size`: Side of the box in pixels, odd, 31 unless given. A box of 1 pixel gives the pixel variance.
    """

    @property
    def needs_input(self) -> bool:
        """No: the draws are enough."""
        return False

    def start(self, shape: tuple[int, int]) -> "VarianceOfMeansAccumulator":
        """An empty accumulator for draws of `shape` = (H, W)."""
        return VarianceOfMeansAccumulator(self, shape)


class VarianceOfMeansAccumulator:
    """Sums of the averaged draws, each rounded to 1/4096 grey level so that their order cannot matter."""

    def __init__(self, score: VarianceOfMeans, shape: tuple[int, int]) -> None:
        self.score = score
        self.moments = FixedPointMoments(shape)

    def update(self, *draws: Image) -> None:
        """Take draws: each (H, W, 3) uint8."""
        score = self.score
        for pixels in draws:
            planes = [
                # Averaged first, channel by channel: what differs in grain only cancels here.
                average(plane.astype(np.float32), score.kernel, score.sigma, score.size, overwrite=True)
                for plane in np.moveaxis(image(pixels, "the draw"), 2, 0)
            ]
            self.moments.add(planes)

    def merge(self, other: Self) -> None:
        """Take over the draws of `other`."""
        self.moments.merge(other.moments)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32."""
        return self.score.polish(self.moments.variance())


PLUGIN = VarianceOfMeans
