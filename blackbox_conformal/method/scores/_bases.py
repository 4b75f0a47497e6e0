"""Parameters that several scores share: clipping and smoothing of the finished map, and a window.

Clipping and smoothing depend on the one picture alone, so photographs stay exchangeable.
"""

import math
from collections.abc import Callable
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.averaging import Sigma, Size, Window, complete
from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.kernels.spectra import moments_of
from blackbox_conformal.method.kernels.windows import average, gaussian
from blackbox_conformal.method.scores.score import Context, Score
from blackbox_conformal.support.types import Image, Map


class ClippedAndSmoothed(Score):
    """A score whose finished map can be clipped at a quantile of that same map, then averaged.

    `clip_quantile`: Values above this quantile of the map, in (0, 1], are lowered to it; they become ties that are
      trusted together or not at all. None: not clipped.
    `smooth`: Standard deviation in pixels of the Gaussian that averages the map at the end. None: not averaged.
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

    `kernel`: `gaussian` or `box`.
    `sigma`: Standard deviation of the Gaussian in pixels, 4 unless given.
    `size`: Side of the box in pixels, odd, 31 unless given.
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


# Scores of the delivered picture alone: one call pays for them, and no draw is accumulated.


class OneDrawScore(Windowed):
    """A score that measures the picture, not how much draws differ; a file defines `raw`.

    `kernel`: `gaussian` or `box`, over which the raw map is averaged.
    """

    @property
    def minimum_draws(self) -> int:
        """One: the vendor is not asked twice."""
        return 1

    def start(self, shape: tuple[int, int]) -> "DeliveredAccumulator":
        return DeliveredAccumulator(self._averaged)

    def _averaged(self, context: Context) -> Map:
        return self.polish(average(self.raw(context), self.kernel, self.sigma, self.size, overwrite=True))

    def raw(self, context: Context) -> Map:
        """The map before averaging, (H, W) float32, finite, >= 0; it is overwritten."""
        raise NotImplementedError(f"{type(self).__name__} must define raw(context)")


class DeliveredAccumulator:
    """Keeps no draw: `finish_map` makes the map of the context, which holds the delivered picture."""

    def __init__(self, finish_map: Callable[[Context], Map]) -> None:
        self.finish_map = finish_map

    def update(self, *draws: Image) -> None:
        """Keep nothing."""

    def merge(self, other: Self) -> None:
        """Keep nothing."""

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32."""
        return self.finish_map(context)


def input_of(context: Context, score: str) -> Image:
    """The low-resolution picture, which `score` needs."""
    if context.low_resolution is None:
        raise UsageError(f"{score} compares with what the vendor was sent; give low_resolution")
    return context.low_resolution


# Scores that need nothing of the draws but their first and second moments.


class MomentsScore(ClippedAndSmoothed):
    """A score made of the moments of the draws; a file defines `of_moments`."""

    @property
    def needs_input(self) -> bool:
        """No: the draws are enough."""
        return False

    def start(self, shape: tuple[int, int]) -> "MomentsAccumulator":
        """An empty accumulator for draws of `shape` = (H, W)."""
        return MomentsAccumulator(shape, lambda moments, context: self.finished(moments))

    def finished(self, moments: Moments) -> Map:
        """The map, (H, W) float32, clipped and smoothed; `moments` may be overwritten and are empty then."""
        values = self.of_moments(moments)
        moments.clear()  # Makes room for polishing, and for what comes after.
        return self.polish(values)

    def of_moments(self, moments: Moments) -> Map:
        """The map before clipping and smoothing, (H, W) float32, which may be overwritten; so may `moments`."""
        raise NotImplementedError(f"{type(self).__name__} must define of_moments(moments)")


class MomentsAccumulator:
    """Integer sums of the draws, whose map `finish_map` makes of the sums and the context."""

    def __init__(self, shape: tuple[int, int], finish_map: Callable[[Moments, Context], Map]) -> None:
        self.shape = shape
        self.moments = Moments(shape)
        self.finish_map = finish_map

    def update(self, *draws: Image) -> None:
        """Take draws: each (H, W, 3) uint8, or all (H, W, bands) uint16."""
        if draws and not self.moments.draws:
            self.moments = moments_of(self.shape, draws[0])
        self.moments.add(*draws)

    def merge(self, other: Self) -> None:
        """Take over the draws of `other`."""
        if not self.moments.draws:
            self.moments = type(other.moments)(self.shape)
        self.moments.merge(other.moments)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32."""
        return self.finish_map(self.moments, context)
