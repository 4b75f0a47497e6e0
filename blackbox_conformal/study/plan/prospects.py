"""What share of new pictures a calibration on n photographs would trust, predicted from the curves of others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.samples import ROUNDING, Samples

RESAMPLES = 400
STEPS = 512
"""Thresholds that are told apart."""

COVERED = 0.9
"""The share of cases in which an outcome is to lie within the printed error."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """A trusted share that is to be expected.

    Attributes
    ----------
    share
        The mean trusted share of new pictures, 0 to 1.
    error
        The share of one calibration is not farther from it than this in `COVERED` of the cases.
    """

    share: float
    error: float


@dataclass(frozen=True, eq=False)
class CurveOutlook:
    """Losses and trusted shares of N photographs at `STEPS` thresholds at most.

    Attributes
    ----------
    losses, shares
        (N, steps) float64, nondecreasing along the steps. Between two steps the lower one counts.
    bound
        The largest loss.
    own
        Bounds of each picture's own loss at the steps; None: all are `bound`.
    errors, most
        Losses as `losses` and the largest of them, for what a guarantee promises beside.
    """

    losses: NDArray[np.float64]
    shares: NDArray[np.float64]
    bound: float
    errors: NDArray[np.float64]
    most: float
    own: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, curves: CurveSet, errors: CurveSet | None = None, own: CurveSet | None = None) -> Self:
        """Of the curves of at least one photograph, those of its largest errors where these are others, and those that
        bound its own loss.
        """
        errors = curves if errors is None else errors
        scores = np.unique(np.concatenate([curves.scores, curves.area_scores]).astype(np.float64))
        chosen = np.unique(np.linspace(0, scores.size - 1, min(STEPS, scores.size)).round().astype(int))
        thresholds = [*scores[chosen], np.inf]
        return cls(
            np.stack([curves.losses_at(threshold) for threshold in thresholds], axis=1),
            np.stack([curves.trusted_shares_at(threshold) for threshold in thresholds], axis=1),
            curves.bound,
            np.stack([errors.losses_at(threshold) for threshold in thresholds], axis=1),
            errors.bound,
            None if own is None else np.stack([own.losses_at(threshold) for threshold in thresholds], axis=1),
        )

    def prospects(self, rule: Guarantee, levels: Sequence[float], n: int, seed: int = 0) -> list[Prospect]:
        """For each level, the share that `rule` would trust after calibrating on `n` photographs like these."""
        outcomes = self.outcomes(rule, levels, n, seed)
        shares = outcomes.mean(axis=0)
        errors = np.quantile(np.abs(outcomes - shares), COVERED, axis=0) * _widening(len(self.losses))
        return [Prospect(float(share), float(error)) for share, error in zip(shares, errors, strict=True)]

    def outcomes(self, rule: Guarantee, levels: Sequence[float], n: int, seed: int = 0) -> NDArray[np.float64]:
        """(`RESAMPLES`, levels) trusted shares: what a calibration on `n` photographs like these might trust.

        The photographs that there are stand for all others (Efron 1979), twice over: as many as there are, drawn with
        replacement, are a world that they might have come from, and n drawn from that world calibrate. What they trust
        of the world is one outcome. The spread of outcomes so contains both the luck of the n and how little N
        photographs tell of all.

        Parameters
        ----------
        rule
            A guarantee that `is_foretold`.
        """
        generator = np.random.default_rng([seed, n])
        photographs = len(self.losses)
        worlds = generator.multinomial(photographs, np.full(photographs, 1 / photographs), size=RESAMPLES)
        calibrating = np.stack([generator.multinomial(n, world / photographs) for world in worlds])
        shares = worlds @ self.shares / photographs
        found = np.zeros((RESAMPLES, len(levels)))
        main, beside = Samples(self.losses, calibrating), self.losses.shape[1]
        if rule.beside is not None:
            other, promised = rule.beside
            beside = other.thresholds_allowed(Samples(self.errors, calibrating), promised, self.most)
        for place, level in enumerate(levels):
            if self.own is not None:
                claim = rule.claim(self.losses.ravel(), level, self.bound)
                found[:, place] = self._by_own_bounds(self.own, main.sums(claim.losses), claim.level * (n + 1), worlds)
                continue
            steps = np.minimum(rule.thresholds_allowed(main, level, self.bound), beside)
            found[:, place] = np.where(steps > 0, shares[np.arange(RESAMPLES), steps - 1], 0.0)
        return found

    def _by_own_bounds(
        self, own: NDArray[np.float64], sums: NDArray[np.float64], allowed: float, worlds: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(`RESAMPLES`,) shares where each picture's bound takes the place of the largest loss in its own mask."""
        found = np.zeros(len(worlds))
        for bounds, shares, times in zip(own, self.shares, worlds.T, strict=True):
            steps = np.count_nonzero(sums + bounds <= allowed + ROUNDING, axis=1)
            found += times / len(own) * np.where(steps > 0, shares[steps - 1], 0.0)
        return found


def _widening(photographs: int) -> float:
    """By how much a bootstrap's spread is too narrow for so few photographs, as Student's t is wider than a normal.

    The first terms of the expansion of the quantile (Abramowitz and Stegun 1964, 26.7.5), and the sum of squares that
    is divided by all photographs instead of one fewer.
    """
    freedom, normal = max(1, photographs - 1), 1.6449
    return math.sqrt(photographs / freedom) * (1 + (normal**2 + 1) / (4 * freedom))
