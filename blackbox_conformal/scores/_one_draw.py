"""What scores from the delivered picture alone share: nothing is accumulated; a window; the input where needed.

Each score's own formula is in its file.
"""

from typing import Self

from blackbox_conformal.errors import UsageError
from blackbox_conformal.kernels.distance import rgb_l1
from blackbox_conformal.kernels.windows import average
from blackbox_conformal.scores._windowed import Windowed
from blackbox_conformal.scores.score import Context
from blackbox_conformal.types import Image, Map


class OneDrawScore(Windowed):
    """A score that one call pays for; it measures the picture, not how undecided the vendor is.

    Attributes
    ----------
    kernel
        `gaussian` or `box`, over which the raw map is averaged.
    sigma
        Standard deviation of the Gaussian in pixels, 4 unless given.
    size
        Side of the box in pixels, odd, 31 unless given.
    """

    @property
    def minimum_draws(self) -> int:
        """One: the vendor is not asked twice."""
        return 1

    def start(self, shape: tuple[int, int]) -> "OneDrawAccumulator":
        """Nothing to accumulate."""
        return OneDrawAccumulator(self)

    def raw(self, context: Context) -> Map:
        """The map before averaging, (H, W) float32, finite, >= 0; it is overwritten."""
        raise NotImplementedError(f"{type(self).__name__} must define raw(context)")


class OneDrawAccumulator:
    """Looks at no draw: the delivered picture comes with the context."""

    def __init__(self, score: OneDrawScore) -> None:
        self.score = score

    def update(self, *draws: Image) -> None:
        """Nothing is kept."""

    def merge(self, other: Self) -> None:
        """Nothing was kept."""

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32."""
        score = self.score
        return score.polish(average(score.raw(context), score.kernel, score.sigma, score.size, overwrite=True))


def input_of(context: Context, score: str) -> Image:
    """The low-resolution picture, which `score` needs.

    Raises
    ------
    UsageError
        It is not known.
    """
    if context.low_resolution is None:
        raise UsageError(f"{score} compares with what the vendor was sent; give low_resolution")
    return context.low_resolution


def distance(one: Image, other: Image) -> Map:
    """Sum over channels of absolute differences, white = 1 a channel: (H, W) float32 in [0, 3]."""
    return rgb_l1(one, other)
