"""Parameters that several scores share: clipping and smoothing of the finished map, and a window.

Clipping and smoothing depend on the one picture alone, so photographs stay exchangeable.
"""

import math
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from blackbox_conformal.method.averaging import Sigma, Size, Window, complete
from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.support.types import Map


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

    clip_quantile: Annotated[float, Field(gt=0, le=1, examples=[0.8])] | None = None
    smooth: Annotated[Sigma, Field(examples=[2.0])] | None = None

    def polish(self, values: Map) -> Map:
        """`values` (H, W) float32, clipped and smoothed as the parameters say; they are overwritten."""
        if self.clip_quantile is not None:
            # Values above become ties at the quantile, trusted together or not at all.
            np.minimum(values, quantile(values, self.clip_quantile), out=values)
        if self.smooth is not None:
            # After clipping, as in the experiments of Adame, Csillag and Goedert (2025).
            values = gaussian(values, self.smooth, overwrite=True)
        return values


class Windowed(ClippedAndSmoothed):
    """A score that averages over a window.

    Attributes
    ----------
    kernel
        `gaussian` or `box`.
    sigma
        Standard deviation of the Gaussian in pixels, 4 unless given.
    size
        Side of the box in pixels, odd, 31 unless given.
    """

    kernel: Window = "gaussian"
    sigma: Sigma | None = None
    size: Size | None = None

    _complete = model_validator(mode="before")(complete)


def quantile(values: Map, level: float) -> np.float32:
    """The smallest value that at least the share `level` of all values does not exceed; always one of them."""
    rank = max(0, math.ceil(level * values.size) - 1)
    # A partial sort: only the value at this rank is wanted.
    smallest: np.float32 = np.partition(values, rank, axis=None)[rank]
    return smallest
