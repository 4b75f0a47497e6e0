"""Scores made of two others that see the same draws: loading both, feeding both, combining what they find.

How the two are combined is each score's own.
"""

from copy import copy
from typing import Annotated, Self

from pydantic import Field, model_validator

from blackbox_conformal import catalog
from blackbox_conformal.scores._from_moments import MomentsAccumulator
from blackbox_conformal.scores.score import Accumulator, Context, Score
from blackbox_conformal.types import Image, Map


class PairedScore(Score):
    """Two scores of this family.

    Attributes
    ----------
    first, second
        Their names.
    sigma
        Standard deviation in pixels of the Gaussian window of the first, and of the second unless it has its own.
    """

    first: str
    second: str
    sigma: Annotated[float, Field(gt=0, le=4096)] = 4.0

    @model_validator(mode="after")
    def _plain(self) -> Self:
        for name in (self.first, self.second):
            part = catalog.member("scores", name)
            if issubclass(part, PairedScore):
                raise ValueError(f"expected two plain scores; {name} is made of two others itself")
            if not catalog.is_own(part):
                raise ValueError(
                    f"expected two scores of this package; {name} comes from another one, and a pair does not state "
                    "its version. Give it alone, or make the pair a score of that package"
                )
        return self

    @property
    def minimum_draws(self) -> int:
        """As many as the more demanding of the two needs."""
        return max(part.minimum_draws for part in self.parts())

    @property
    def needs_input(self) -> bool:
        """Whether one of the two looks at what the vendor was sent."""
        return any(part.needs_input for part in self.parts())

    @property
    def needs_second(self) -> bool:
        """Whether one of the two compares with a second vendor's picture."""
        return any(part.needs_second for part in self.parts())

    def parts(self) -> tuple[Score, Score]:
        """The two scores."""
        return windowed(self.first, self.sigma), windowed(self.second, self.sigma)

    def start(self, shape: tuple[int, int]) -> "PairedAccumulator":
        """Both accumulators."""
        first, second = self.parts()
        return PairedAccumulator(self, first.start(shape), second.start(shape))

    def combine(self, first: Map, second: Map) -> Map:
        """The score map from the two; both may be overwritten."""
        raise NotImplementedError(f"{type(self).__name__} must define combine(first, second)")


class PairedAccumulator:
    """Two accumulators that see the same draws; the moments of which are added up once."""

    def __init__(self, score: PairedScore, first: Accumulator, second: Accumulator) -> None:
        self.score = score
        self.first = first
        self.second = second
        self._apart = not (isinstance(first, MomentsAccumulator) and isinstance(second, MomentsAccumulator))

    def update(self, *draws: Image) -> None:
        """Take draws: each (H, W, 3) uint8."""
        self.first.update(*draws)
        if self._apart:
            self.second.update(*draws)

    def merge(self, other: Self) -> None:
        """Take over what `other` has seen."""
        self.first.merge(other.first)
        if self._apart:
            self.second.merge(other.second)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32, >= 0."""
        if isinstance(self.first, MomentsAccumulator) and isinstance(self.second, MomentsAccumulator):
            # The same sums under two names: either score may clear its own.
            self.second.moments = copy(self.first.moments)
        # A variance comes second where the other score needs no sums: that makes room.
        second = self.second.finish(context)
        return self.score.combine(self.first.finish(context), second)


def windowed(name: str, sigma: float) -> Score:
    """The score called `name`, with a Gaussian window where it has one."""
    window = {"kernel": "gaussian", "sigma": sigma} if "sigma" in catalog.member("scores", name).model_fields else {}
    found: Score = catalog.load("scores", name, **window)
    return found
