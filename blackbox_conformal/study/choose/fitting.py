"""The search for the chain after which the user's photographs measure like the inputs.

Chains are scattered around the best one so far and applied to the photographs; how the means of what they measure
depend on the chain is fitted by a linear regression, which is solved for the means of the inputs (regression
adjustment: Beaumont, Zhang & Balding 2002). That is repeated around the solution. So noise is found although JPEG took
most of it away: the candidate's noise went through the same JPEG. Each measurement counts as much as it tells: those
that vary from picture to picture count little, and those that vary together are not counted twice (the method of
simulated moments: McFadden 1989, Hansen 1982).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from blackbox_conformal.method.audits.permutation import random_orders
from blackbox_conformal.study.choose.candidate import COORDINATES, FILTERS, PARTS, CandidateChain, starts
from blackbox_conformal.study.choose.simulations import Measured, Simulations

_WIDTHS = (2.5, 1.5, 1.0)
"""Steps of each coordinate within which candidates are scattered, from round to round."""

_SCATTERED = 16
"""Candidates a round."""

_SHRUNK = 0.1
"""Few pictures make correlations look larger than they are, so they are made smaller by this share."""

_FARTHEST = 2.0
"""Standard deviations from the inputs' mean at which a measurement is cut: odd pictures must not decide."""

_LEAST_VARIANCE = 1e-4
"""Of a measurement: smaller ones are chance."""

_WORTH = 3.0
"""Mismatch that each number of a step must save, or the step is left out: fitting to chance seldom saves so much."""

_REJECTED = 0.05
"""A plain chain with a larger p-value is taken without a search."""

_PERMUTATIONS = 999

_SIMPLER = len(FILTERS) * 2 ** len(PARTS)
"""Chains at most that are tried last; see `CandidateChain.simpler`."""

_STEPS = np.array([each.step for each in COORDINATES])
_USUAL = np.array([each.usual for each in COORDINATES]) / _STEPS
_DEVIATION = np.array([each.deviation for each in COORDINATES]) / _STEPS
_LEAST = np.array([each.least for each in COORDINATES]) / _STEPS
_LARGEST = np.array([each.largest for each in COORDINATES]) / _STEPS


class Mismatch:
    """How much less like the inputs photographs are than other photographs after the same chain would be.

    Parameters
    ----------
    inputs
        (n, k) float64, n at least 2.
    near
        (photographs, k) float64: photographs after a chain that is near. How both vary says how much a difference
        means: measurements are made uncorrelated and of variance 1.
    """

    def __init__(self, inputs: Measured, near: Measured) -> None:
        n, photographs = len(inputs), len(near)
        spread = (n * np.cov(inputs.T) + photographs * np.cov(near.T)) / (n + photographs)
        self._whiten = _whitening(spread)
        self._error = np.sqrt(1 / n + 1 / photographs)
        self._centre = inputs.mean(axis=0)
        self._inputs = self._mean(inputs)

    def residuals(self, simulated: Measured) -> Measured:
        """(k,) float64: mean of the inputs less that of simulated ones, over its standard error, in each direction."""
        difference: Measured = (self._inputs - self._mean(simulated)) / self._error
        return difference

    def __call__(self, simulated: Measured) -> float:
        """The sum of their squares."""
        return float((self.residuals(simulated) ** 2).sum())

    def _mean(self, values: Measured) -> Measured:
        white = np.clip((values - self._centre) @ self._whiten, -_FARTHEST, _FARTHEST)
        mean: Measured = white.mean(axis=0)
        return mean


class Search:
    """Moves candidates towards the inputs.

    Parameters
    ----------
    inputs
        (n, k) float64.
    progress
        Called with the number of chains tried so far.
    """

    def __init__(self, inputs: Measured, simulations: Simulations, progress: Callable[[int], None]) -> None:
        self._inputs, self._simulations, self._progress = inputs, simulations, progress
        self._mismatch = Mismatch(inputs, inputs)
        self.tried: dict[CandidateChain, None] = {}

    def refer_to(self, candidate: CandidateChain) -> None:
        """Take how measurements vary from photographs after this candidate."""
        self._mismatch = Mismatch(self._inputs, self._simulated(candidate))

    def mismatch(self, candidate: CandidateChain) -> float:
        """See `Mismatch`."""
        return self._mismatch(self._simulated(candidate))

    def cost(self, candidate: CandidateChain) -> float:
        """The mismatch, and how unusual the candidate is."""
        unusual = (candidate.coordinates - _USUAL) / _DEVIATION
        return self.mismatch(candidate) + float((unusual**2).sum())

    def moved(self, candidate: CandidateChain, width: float) -> CandidateChain:
        """Where the cost would be least, were residuals linear in the coordinates, as they are within `width` steps."""
        centre = candidate.coordinates
        for place in _scattered(len(centre), len(self.tried)):
            self._simulated(candidate.at(centre + width * place))
        kin = self._kin(candidate)
        moves = np.array([each.coordinates for each in kin]) - centre
        residuals = np.array([self._mismatch.residuals(self._simulated(each)) for each in kin])
        # The nearer count more (Cleveland 1979): farther away nothing is linear.
        weights = np.exp(-0.5 * (moves**2).mean(axis=1) / width**2)[:, None]
        design = np.concatenate([np.ones((len(moves), 1)), moves], axis=1)
        held = np.diag([0.0] + [0.1] * len(centre))
        here, *slopes = np.linalg.solve(design.T @ (weights * design) + held, design.T @ (weights * residuals))
        own, usual = np.array(slopes), np.diag(_DEVIATION**-2)
        least, largest = np.maximum(_LEAST, centre - 2 * width), np.minimum(_LARGEST, centre + 2 * width)
        square, linear = own @ own.T + usual, own @ (centre @ own - here) + usual @ _USUAL
        return candidate.at(bounded(square, linear, least, largest))

    def average(self, candidate: CandidateChain) -> CandidateChain:
        """The mean of those tried, by how likely their costs make them: in a flat valley the least one is chance."""
        kin = self._kin(candidate)
        costs = np.array([self.cost(each) for each in kin])
        likely = np.exp(-0.5 * (costs - costs.min()))
        return candidate.at(likely @ np.array([each.coordinates for each in kin]) / likely.sum())

    def _kin(self, candidate: CandidateChain) -> list[CandidateChain]:
        """Those tried that differ in coordinates alone."""
        return [each for each in self.tried if each.at(candidate.coordinates) == candidate.at(candidate.coordinates)]

    def _simulated(self, candidate: CandidateChain) -> Measured:
        values = self._simulations(candidate)
        self.tried[candidate] = None
        self._progress(len(self._simulations))
        return values


def nearest(
    inputs: Measured, simulations: Simulations, scale: int, progress: Callable[[int, int], None]
) -> CandidateChain:
    """The candidate whose simulated inputs are nearest; of about equally near ones that with the fewest steps.

    Where photographs after a reduction alone, with JPEG, cannot be told from the inputs, there is no search: with few
    inputs it would find steps by chance.

    Parameters
    ----------
    progress
        Called with how many chains were tried, and how many may be.
    """
    coarse = starts(scale, simulations.subsamplings[0] if simulations.subsamplings else "")
    filters, subsamplings = FILTERS if scale > 1 else ("",), simulations.subsamplings
    plain = [
        [CandidateChain(filter=each, subsampling=colours) for colours in subsamplings or ("",)] for each in filters
    ]
    most = sum(map(len, plain)) + len(coarse) + len(subsamplings) + len(_WIDTHS) * (_SCATTERED + 1) + _SIMPLER
    # Bicubic is the usual filter, and between the others in sharpness, so it comes first.
    for options in plain:
        likely = [one_kind(inputs, simulations(each)) for each in options]
        if max(likely) > _REJECTED:
            progress(most, most)
            return options[int(np.argmax(likely))]
    search = Search(inputs, simulations, lambda tried: progress(min(tried, most), most))
    best = min(coarse, key=search.cost)
    best = min((best, *(replace(best, subsampling=each) for each in simulations.subsamplings)), key=search.cost)
    for width in _WIDTHS:
        search.refer_to(best)
        search.cost(search.moved(best, width))
        best = min(search.tried, key=search.cost)
    search.refer_to(best)
    options = search.average(best).simpler()
    found = min(options, key=lambda each: search.mismatch(each) + _WORTH * each.numbers)
    progress(most, most)
    return found


def one_kind(inputs: Measured, simulated: Measured) -> float:
    """The p-value of both being of one kind, by random permutations of which picture is an input.

    Parameters
    ----------
    inputs, simulated
        (n, k) and (m, k) float64. Their means are compared in uncorrelated measurements of variance 1, of both
        together, so that permutations change neither.
    """
    together = np.concatenate([inputs, simulated])
    white = np.clip((together - together.mean(axis=0)) @ _whitening(np.cov(together.T)), -_FARTHEST, _FARTHEST)
    white -= white.mean(axis=0)
    apart = [
        (white[order[: len(inputs)]].sum(axis=0) ** 2).sum()
        for order in (np.arange(len(white)), *random_orders(len(white), _PERMUTATIONS, 0))
    ]
    return float(np.mean(np.array(apart) >= apart[0]))


def _whitening(spread: Measured) -> Measured:
    """(k, k) float64: makes measurements of this covariance, (k, k), uncorrelated and of variance 1."""
    scale = np.sqrt(np.maximum(np.diag(spread), _LEAST_VARIANCE))
    correlation = (1 - _SHRUNK) * spread / np.outer(scale, scale) + _SHRUNK * np.eye(len(scale))
    variances, directions = np.linalg.eigh(correlation)
    whitening: Measured = directions / scale[:, None] / np.sqrt(variances)
    return whitening


def bounded(square: Measured, linear: Measured, least: Measured, largest: Measured) -> Measured:
    """(k,) float64 from `least` to `largest`: about where x · square · x / 2 - linear · x is least.

    What would be out of its range is held to its end, and the others are solved for again.
    """
    found, free = np.zeros(len(linear)), np.ones(len(linear), bool)
    while free.any():
        rest = linear[free] - square[np.ix_(free, ~free)] @ found[~free]
        found[free] = np.linalg.solve(square[np.ix_(free, free)], rest)
        outside = free & ((found < least) | (found > largest))
        if not outside.any():
            break
        found, free = np.clip(found, least, largest), free & ~outside
    return found


def _scattered(dimensions: int, seed: int) -> Measured:
    """(n, dimensions) float64 from -1 to 1, evenly spread (Latin hypercube: McKay, Beckman & Conover 1979)."""
    ranks = np.tile(np.arange(_SCATTERED), (dimensions, 1))
    places: Measured = (2 * np.random.default_rng(seed).permuted(ranks, axis=1).T + 1) / _SCATTERED - 1
    return places
