"""Scores that need nothing of the draws but their first and second moments."""

from collections.abc import Callable
from typing import Self

from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.kernels.spectra import moments_of
from blackbox_conformal.method.scores._windowed import ClippedAndSmoothed
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Image, Map


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
