"""What scores from the moments of the draws share: the sums, kept once however many scores are made of them.

The sums are in `kernels.moments`; what a score makes of them is its own.
"""

from typing import Self

from blackbox_conformal.kernels.moments import Moments
from blackbox_conformal.scores._clip_and_smooth import ClippedAndSmoothed
from blackbox_conformal.scores.score import Context
from blackbox_conformal.types import Image, Map


class MomentsScore(ClippedAndSmoothed):
    """A score that needs nothing of the draws but their first and second moments."""

    @property
    def needs_input(self) -> bool:
        """No: the draws say it all."""
        return False

    def start(self, shape: tuple[int, int]) -> "MomentsAccumulator":
        """An empty accumulator for draws of `shape` = (H, W)."""
        return MomentsAccumulator(self, shape)

    def of_moments(self, moments: Moments) -> Map:
        """The map before clipping and smoothing, (H, W) float32, which may be overwritten; so may `moments`."""
        raise NotImplementedError(f"{type(self).__name__} must define of_moments(moments)")


class MomentsAccumulator:
    """Integer sums of the draws seen."""

    def __init__(self, score: MomentsScore, shape: tuple[int, int]) -> None:
        self.score = score
        self.moments = Moments(shape)

    def update(self, *draws: Image) -> None:
        """Take draws: each (H, W, 3) uint8."""
        self.moments.add(*draws)

    def merge(self, other: Self) -> None:
        """Take over what `other` has seen."""
        self.moments.merge(other.moments)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32; the sums are gone then."""
        values = self.score.of_moments(self.moments)
        self.moments.clear()  # Room for polishing, and for what comes after.
        return self.score.polish(values)
