"""Patch variance: the variance over draws and neighbourhood taken together (Adame, Csillag, Goedert 2025).

The sums it is made from are in `kernels.moments`, the averaging in `kernels.windows`.
"""

from typing import Self

import numpy as np

from blackbox_conformal.indecision._windowed import Windowed
from blackbox_conformal.indecision.base import Context
from blackbox_conformal.kernels.moments import Moments
from blackbox_conformal.kernels.windows import average
from blackbox_conformal.types import Image, Map


class PatchVariance(Windowed):
    """`mean_M(K * mu^2) - (K * mean_M(mu))^2`, summed over channels, white = 1: in [0, 3/4].

    It contains the texture inside a single draw, so it is not 0 where all draws agree.

    Attributes
    ----------
    kernel
        `gaussian` or `box`.
    sigma
        Standard deviation of the Gaussian in pixels, 4 unless given.
    size
        Side of the box in pixels, odd, 31 unless given. A box of 1 pixel gives the pixel variance.
    """

    def start(self, shape: tuple[int, int]) -> "PatchVarianceAccumulator":
        """An empty accumulator for draws of `shape` = (H, W)."""
        return PatchVarianceAccumulator(self, shape)


class PatchVarianceAccumulator:
    """Integer sums of the draws seen."""

    def __init__(self, score: PatchVariance, shape: tuple[int, int]) -> None:
        self.score = score
        self.moments = Moments(shape)

    def update(self, pixels: Image) -> None:
        """Take one draw: (H, W, 3) uint8."""
        self.moments.add(pixels)

    def merge(self, other: Self) -> None:
        """Take over what `other` has seen."""
        self.moments.merge(other.moments)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32.

        Second moment less squared mean loses to cancellation whatever the averages are off by. They start from exact
        sums and are taken in float64, so about 1e-13 of white squared is lost, against 1.5e-5 for a variance of one
        grey level: nothing that float32 shows. In half or single precision the result would be noise in flat regions.
        """
        moments, score = self.moments, self.score
        draws = moments.draws
        spread = average(moments.square_sums() * draws, score.kernel, score.sigma, score.size)
        for channel in range(3):
            mean = average(moments.channel_sums(channel), score.kernel, score.sigma, score.size)
            spread -= mean * mean
        np.maximum(spread, 0, out=spread)
        spread /= (255.0 * draws) ** 2
        return score.polish(spread.astype(np.float32))


PLUGIN = PatchVariance
