"""Patch variance: the variance over draws and neighbourhood taken together (Adame, Csillag, Goedert 2025)."""

import numpy as np

from blackbox_conformal.method.kernels.moments import Moments, fits, pooled_variance
from blackbox_conformal.method.kernels.windows import average
from blackbox_conformal.method.scores._bases import MomentsScore, Windowed
from blackbox_conformal.support.types import Map


class PatchVariance(Windowed, MomentsScore):
    """`mean_M(K * mu^2) - (K * mean_M(mu))^2`, summed over channels, white = 1: in [0, 3/4].

    It contains the texture inside a single draw, so it is not 0 where all draws agree.

    `size`: Side of the box in pixels, odd, 31 unless given. A box of 1 pixel gives the pixel variance.
    """

    def of_moments(self, moments: Moments) -> Map:
        """The difference of the averages; for a box in whole numbers, while they have room.

        Second moment less squared mean loses to cancellation whatever the averages are off by. They start from exact
        sums and are taken in float64, so about 1e-13 of white squared is lost, against 1.5e-5 for a variance of one
        grey level: float32 does not show it. In half or single precision the result would be noise in flat regions.
        """
        draws = moments.draws
        # Whole numbers keep their exactness for a box, so that equal draws give exactly 0.
        if self.size is not None and fits(draws, self.size):
            return pooled_variance(moments, self.size)
        squares = moments.square_sums()
        # M times the sum of squares less the square of the sum: the divisor (255 M)^2 comes at the end.
        squares *= draws
        spread = average(squares, self.kernel, self.sigma, self.size, overwrite=True)
        for channel in range(3):
            mean = average(moments.channel_sums(channel), self.kernel, self.sigma, self.size, overwrite=True)
            spread -= np.square(mean, out=mean)
        # Rounding may leave a tiny negative where nothing varies.
        np.maximum(spread, 0, out=spread)
        spread /= (255.0 * draws) ** 2
        return spread.astype(np.float32)


PLUGIN = PatchVariance
