"""Weighted: the geometric mean of two scores, each on its own scale, with a weight that tuning photographs chose.

The two scores are members of this family; nothing is chosen here, and a weight that was chosen on calibration
photographs voids the guarantee.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from blackbox_conformal.scores._pair import PairedScore
from blackbox_conformal.types import Map

_STRIP = 64


class Weighted(PairedScore):
    """`first^weight * second^(1 - weight)`: rescaling either score changes no ranking.

    Attributes
    ----------
    first, second, sigma
        Two scores of this family and their common Gaussian window.
    weight
        Of the first, in [0, 1].
    """

    first: str = "bicubic-gap"
    second: str = "smoothed-variance"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5

    def combine(self, first: Map, second: Map) -> Map:
        """0 where a score that has a weight is 0."""
        # A strip at a time: in float64 whole maps would take four times the memory of the score.
        for top in range(0, first.shape[0], _STRIP):
            rows = slice(top, top + _STRIP)
            one, two = first[rows].astype(np.float64), second[rows].astype(np.float64)
            first[rows] = np.power(one, self.weight) * np.power(two, 1 - self.weight)
        return first


PLUGIN = Weighted
