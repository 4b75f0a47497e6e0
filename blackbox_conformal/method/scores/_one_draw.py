"""Scores of the delivered picture alone: one call pays for them, and no draw is accumulated."""

from collections.abc import Callable
from typing import Self

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.windows import average
from blackbox_conformal.method.scores._windowed import Windowed
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Image, Map


class OneDrawScore(Windowed):
    """A score that measures the picture, not how much draws differ; a file defines `raw`.

    Attributes
    ----------
    kernel
        `gaussian` or `box`, over which the raw map is averaged.
    """

    @property
    def minimum_draws(self) -> int:
        """One: the vendor is not asked twice."""
        return 1

    def start(self, shape: tuple[int, int]) -> "DeliveredAccumulator":
        """An accumulator that keeps nothing."""
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
