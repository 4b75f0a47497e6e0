"""The search for the chain after which the user's photographs measure most like the inputs.

Each candidate is applied to the photographs, and the measurements of the results are compared with those of the inputs
by their energy distance (Székely & Rizzo 2013), which is 0 in expectation where the two come from one distribution. So
noise is found although JPEG took most of it away: the candidate's noise went through the same JPEG. This is indirect
inference (Gouriéroux, Monfort & Renault 1993).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.degradations.chain import Mixture
from blackbox_conformal.images.block_energies import block_energies
from blackbox_conformal.images.input_statistics.rows import InputStatistics
from blackbox_conformal.pipeline.suggestion_parts.candidate import Candidate, starts
from blackbox_conformal.pipeline.suggestion_parts.compression import Compression
from blackbox_conformal.types import Image

Measured = NDArray[np.float64]

_COMPARED = 6
"""So many of the statistics of a row say how an input was made; the others say what it shows."""

_FACTORS = (1.5, 1.2)
"""By how much ranges are changed, from coarse to fine."""

_LEAST_GAIN = 0.01
"""A round of changes that gains less distance is the last one with its factor."""

_FLATTEST = 1e-3
"""Directions in which pictures vary less than this share of the largest variance are not stretched further."""


def measured(pixels: Image) -> Measured:
    """(37,) float64: what is compared of an input."""
    return np.concatenate([block_energies(pixels), InputStatistics.of(pixels).values[0, :_COMPARED]])


class Simulations:
    """What photographs measure after a chain; everything is computed once."""

    def __init__(self, photographs: Sequence[Image], scale: int, compression: Compression | None) -> None:
        self._photographs, self._scale = photographs, scale
        self.jpeg = "" if compression is None else compression.step
        self.subsamplings = () if compression is None else compression.subsamplings
        self._reduced: dict[str, Sequence[Image]] = {"": photographs}
        self._known: dict[str, Measured] = {}

    def __call__(self, candidate: Candidate) -> Measured:
        """(photographs, 37) float64."""
        text = candidate.text(self._scale, self.jpeg)
        if text not in self._known:
            reduced = self._applied(candidate.reduction(self._scale), self._photographs, self._scale, self._reduced)
            degraded = self._applied(candidate.rest(self.jpeg), reduced, 1, {"": reduced})
            self._known[text] = np.array([measured(pixels) for pixels in degraded])
        return self._known[text]

    def __len__(self) -> int:
        """Chains that were tried."""
        return len(self._known)

    @staticmethod
    def _applied(
        text: str, pictures: Sequence[Image], scale: int, known: dict[str, Sequence[Image]]
    ) -> Sequence[Image]:
        if text not in known:
            if len(known) > 12:
                # The oldest but the photographs themselves: the search moves on.
                known.pop(next(key for key in known if key))
            chain = Mixture.of_text(text)
            # Every candidate meets the same random numbers, so that two differ by what they do alone.
            known[text] = [chain.apply(pixels, scale, "suggest", index) for index, pixels in enumerate(pictures)]
        return known[text]


class Distance:
    """The energy distance between the inputs and simulated ones.

    Parameters
    ----------
    inputs
        (n, k) float64, n at least 2.
    simulated
        For several candidates, (photographs, k) each. How photographs differ after the same chain says how much a
        difference means: measurements are made uncorrelated and of variance 1 among them.
    """

    def __init__(self, inputs: Measured, simulated: Sequence[Measured]) -> None:
        spread = np.mean([np.cov(values.T) for values in simulated], axis=0)
        scale = np.sqrt(np.maximum(np.diag(spread), 1e-6))
        variances, directions = np.linalg.eigh(spread / np.outer(scale, scale))
        self._whiten = directions / scale[:, None] / np.sqrt(np.maximum(variances, _FLATTEST * variances.max()))
        self._inputs = inputs @ self._whiten
        self._within = _mean_distance(self._inputs)

    def each(self, simulated: Measured) -> Measured:
        """(n,) float64: the part of each input; their mean is the distance."""
        values = simulated @ self._whiten
        to_them: Measured = _distances(self._inputs, values).mean(axis=1)
        return 2 * to_them - _mean_distance(values) - self._within

    def __call__(self, simulated: Measured) -> float:
        """The distance; about 0 for inputs that went through the same chain, and then as often below 0."""
        return float(self.each(simulated).mean())


def nearest(inputs: Measured, simulations: Simulations, scale: int, watch: Callable[[int], None]) -> Candidate:
    """The candidate whose simulated inputs are nearest, made as simple as the inputs allow.

    Parameters
    ----------
    watch
        Called with the number of chains tried so far.
    """
    grid = starts(scale, simulations.subsamplings[0] if simulations.subsamplings else "")
    grid = [candidate for candidate in grid if candidate.text(scale, simulations.jpeg)]
    simulated = [simulations(candidate) for candidate in grid]
    distance = Distance(inputs, simulated)
    found = [distance(values) for values in simulated]
    least = min(found)
    best = grid[found.index(least)]
    for factor in _FACTORS:
        gained = True
        while gained:
            before = least
            for candidate in best.neighbours(factor, simulations.subsamplings):
                if candidate.text(scale, simulations.jpeg):
                    value = distance(simulations(candidate))
                    watch(len(simulations))
                    if value < least:
                        best, least = candidate, value
            gained = before - least > _LEAST_GAIN
    return _simplest(best, distance, simulations, scale)


def _simplest(best: Candidate, distance: Distance, simulations: Simulations, scale: int) -> Candidate:
    """The simplest candidate that is no more than a standard error farther (Breiman et al. 1984)."""
    reference = distance.each(simulations(best))
    kept = best
    changed = True
    while changed:
        changed = False
        for candidate in kept.simpler():
            if not candidate.text(scale, simulations.jpeg):
                continue
            farther = distance.each(simulations(candidate)) - reference
            if farther.mean() < farther.std(ddof=1) / np.sqrt(len(farther)):
                kept, changed = candidate, True
                break
    return kept


def _distances(first: Measured, second: Measured) -> Measured:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    root: Measured = np.sqrt(np.maximum(squares, 0))
    return root


def _mean_distance(values: Measured) -> float:
    """Between two different rows."""
    return float(_distances(values, values).sum()) / (len(values) * (len(values) - 1))
