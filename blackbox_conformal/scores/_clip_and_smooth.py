"""Options that every variance score has: clip the finished map at its own quantile, then smooth it.

What is clipped and smoothed is computed by the scores. Both depend on the one picture alone, so they leave its
exchangeability with others as it is.
"""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from blackbox_conformal.kernels.windows import gaussian
from blackbox_conformal.scores._window import Sigma
from blackbox_conformal.scores.score import Score
from blackbox_conformal.types import Map


class ClippedAndSmoothed(Score):
    """A score whose finished map can be clipped at a quantile of that same map, then averaged.

    Attributes
    ----------
    clip_quantile
        Values above this quantile of the map, in (0, 1], are lowered to it; they become ties that are trusted
        together or not at all. None: not clipped.
    smooth
        Standard deviation in pixels of the Gaussian that averages the map at the end. None: not averaged.
    """

    clip_quantile: Annotated[float, Field(gt=0, le=1)] | None = None
    smooth: Sigma | None = None

    def polish(self, values: Map) -> Map:
        """`values` (H, W) float32, clipped and smoothed as the parameters say; they are overwritten."""
        if self.clip_quantile is not None:
            np.minimum(values, quantile(values, self.clip_quantile), out=values)
        if self.smooth is not None:
            values = gaussian(values, self.smooth, overwrite=True)
        return values


def quantile(values: Map, level: float) -> np.float32:
    """The smallest value that at least the share `level` of all values does not exceed; always one of them."""
    rank = max(0, math.ceil(level * values.size) - 1)
    found: np.float32 = np.partition(values, rank, axis=None)[rank]
    return found
