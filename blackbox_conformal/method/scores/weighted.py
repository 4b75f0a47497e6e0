"""Weighted: the geometric mean of two scores, each on its own scale, with a weight that tuning photographs chose.

A weight that was chosen on calibration photographs voids the guarantee.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from blackbox_conformal.method.kernels.elementary import exponential, logarithm
from blackbox_conformal.method.scores._pair import PairedScore
from blackbox_conformal.support.types import Map

_STRIP_ROWS = 64
_LEAST = np.finfo(np.float32).smallest_subnormal


class Weighted(PairedScore):
    """`first^weight * second^(1 - weight)`: rescaling either score changes no ranking.

    `first`, `second`, `sigma`: Two scores of this family and their common Gaussian window.
    `weight`: Of the first, in [0, 1].
    """

    candidates: ClassVar[tuple[str, ...]] = ("", "weight=0.25", "weight=0.75")

    first: str = "bicubic-gap"
    second: str = "smoothed-variance"
    weight: Annotated[float, Field(ge=0, le=1, examples=[0.25])] = 0.5

    def combine(self, first: Map, second: Map) -> Map:
        # A strip at a time: in float64 whole maps would take four times the memory of the score.
        for top in range(0, first.shape[0], _STRIP_ROWS):
            rows = slice(top, top + _STRIP_ROWS)
            logs = np.zeros(first[rows].shape)
            for score, weight in ((first[rows], self.weight), (second[rows], 1 - self.weight)):
                if weight:
                    logs += weight * np.where(score > 0, logarithm(np.maximum(score, _LEAST)), -np.inf)
            first[rows] = np.where(np.isneginf(logs), 0, exponential(logs))
        return first


PLUGIN = Weighted
