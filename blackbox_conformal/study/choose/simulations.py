"""What photographs measure after a chain."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.images.block_energies import block_energies
from blackbox_conformal.method.images.input_statistics.statistics import STATISTICS, InputStatistics
from blackbox_conformal.study.choose.candidate import CandidateChain
from blackbox_conformal.study.choose.compression import Compression
from blackbox_conformal.support.types import Image

Measured = NDArray[np.float64]

_COMPARED = 6
"""So many of the statistics of a row say how an input was made; the others say what it shows."""


_NOISE = [statistic.name for statistic in STATISTICS].index("noise")

_LEAST_NOISE = 0.3
"""Grey levels, about what rounding to 8 bits adds."""


def measured(pixels: Image) -> Measured:
    """(92,) float64: what is compared of an input."""
    row = InputStatistics.of(pixels).values[0, :_COMPARED].astype(np.float64)
    row[_NOISE] = np.log2(row[_NOISE] + _LEAST_NOISE)
    return np.concatenate([block_energies(pixels), row])


class Simulations:
    """What photographs measure after a chain; everything is computed once."""

    def __init__(self, photographs: Sequence[Image], scale: int, compression: Compression | None) -> None:
        self._photographs, self._scale = photographs, scale
        self.jpeg = "" if compression is None else compression.step
        self.subsamplings = () if compression is None else compression.subsamplings
        self._reduced: dict[str, list[Image]] = {}
        self._known: dict[str, Measured] = {}

    def __call__(self, candidate: CandidateChain) -> Measured:
        """(photographs, 92) float64."""
        text = candidate.text(self._scale, self.jpeg)
        if text not in self._known:
            reduction = candidate.reduction(self._scale)
            if reduction not in self._reduced:
                self._reduced[reduction] = self._applied(reduction, self._photographs, self._scale)
            made = self._applied(candidate.rest(self.jpeg), self._reduced[reduction], 1)
            self._known[text] = np.array([measured(pixels) for pixels in made])
        return self._known[text]

    def __len__(self) -> int:
        """Chains that were tried."""
        return len(self._known)

    @staticmethod
    def _applied(text: str, pictures: Sequence[Image], scale: int) -> list[Image]:
        steps = Mixture.of_text(text).chains[0].steps if text else ()
        made = []
        for place, pixels in enumerate(pictures):
            size = (pixels.shape[0] // scale, pixels.shape[1] // scale)
            for number, step in enumerate(steps):
                random = EvenlySpread(place, len(pictures), number)
                if step.chance == 1 or random.uniform() < step.chance:
                    pixels = step.drawn(random).apply(pixels, random, size)
            made.append(pixels)
        return made


class EvenlySpread(RandomNumbers):
    """Random numbers of one of several pictures, of which each takes another part of every range.

    So chance adds little to what a chain does on average (Latin hypercube sampling: McKay, Beckman & Conover 1979).
    Noise is drawn as always, and is the same for every candidate, so that two differ by what they do alone.
    """

    def __init__(self, place: int, count: int, step: int) -> None:
        super().__init__("suggest", place, step)
        self._place, self._count, self._step, self._calls = place, count, step, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """The middle of this picture's part of [low, high)."""
        self._calls += 1
        return low + (high - low) * (_order(self._count, self._step, self._calls)[self._place] + 0.5) / self._count


@cache
def _order(count: int, step: int, call: int) -> list[int]:
    order = np.random.Generator(np.random.Philox(key=[step, call])).permutation(count)
    return [int(part) for part in order]
