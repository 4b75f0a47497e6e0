"""Weighted: the geometric mean of two scores, each on its own scale, with a weight that tuning photographs chose.

The two scores are members of this family; nothing is chosen here, and a weight that was chosen on calibration
photographs voids the guarantee.
"""

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from blackbox_conformal import catalog
from blackbox_conformal.indecision.base import Accumulator, Context, Indecision
from blackbox_conformal.types import Image, Map

_STRIP = 64


class Weighted(Indecision):
    """`first^weight * second^(1 - weight)`: rescaling either score changes no ranking.

    Attributes
    ----------
    first, second
        Names of two scores of this family, each with its default window.
    weight
        Of the first, in [0, 1].
    sigma
        Standard deviation in pixels of the Gaussian window that both use.
    """

    first: str = "bicubic-gap"
    second: str = "smoothed-variance"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    sigma: Annotated[float, Field(gt=0, le=4096)] = 4.0

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        for name in (self.first, self.second):
            if name == self.plugin_name():
                raise ValueError("expected two plain scores; a weighted score cannot hold another")
            if "sigma" not in catalog.member("indecision", name).model_fields:
                raise ValueError(f"expected scores that have a window; {name} has none")
        return self

    @property
    def minimum_draws(self) -> int:
        """As many as the more demanding of the two needs."""
        return max(part.minimum_draws for part in self.parts())

    @property
    def needs_second(self) -> bool:
        """Whether one of the two compares with a second vendor's picture."""
        return any(part.needs_second for part in self.parts())

    def parts(self) -> tuple[Indecision, Indecision]:
        """The two scores."""
        first: Indecision = catalog.load("indecision", self.first, kernel="gaussian", sigma=self.sigma)
        second: Indecision = catalog.load("indecision", self.second, kernel="gaussian", sigma=self.sigma)
        return first, second

    def start(self, shape: tuple[int, int]) -> "WeightedAccumulator":
        """Both accumulators."""
        first, second = self.parts()
        return WeightedAccumulator(self.weight, first.start(shape), second.start(shape))


class WeightedAccumulator:
    """Two accumulators that see the same draws."""

    def __init__(self, weight: float, first: Accumulator, second: Accumulator) -> None:
        self.weight = weight
        self.first = first
        self.second = second

    def update(self, pixels: Image) -> None:
        """Take one draw: (H, W, 3) uint8."""
        self.first.update(pixels)
        self.second.update(pixels)

    def merge(self, other: Self) -> None:
        """Take over what `other` has seen."""
        self.first.merge(other.first)
        self.second.merge(other.second)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32, >= 0; 0 where a score that has a weight is 0."""
        first, second = self.first.finish(context), self.second.finish(context)
        # A strip at a time: in float64 whole maps would take four times the memory of the score.
        for top in range(0, first.shape[0], _STRIP):
            rows = slice(top, top + _STRIP)
            one, two = first[rows].astype(np.float64), second[rows].astype(np.float64)
            first[rows] = np.power(one, self.weight) * np.power(two, 1 - self.weight)
        return first


PLUGIN = Weighted
