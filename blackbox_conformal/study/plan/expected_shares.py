"""Predict the share of new pictures that a calibration on n photographs would trust, from the curves of others."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.samples import ROUNDING, Samples
from blackbox_conformal.study.plan.promises import Promise
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support import catalog

RESAMPLES = 400
STEPS = 512  # Thresholds at most that an outlook distinguishes.
COVERED = 0.9  # Probability that one calibration's share lies within the printed error.


@dataclass(frozen=True, slots=True)
class Prospect:
    """An expected trusted share."""

    share: float  # Mean over new pictures, 0 to 1.
    error: float  # With probability `COVERED` one calibration's share is within this of `share`.


@dataclass(frozen=True, eq=False)
class CurveOutlook:
    """Losses and trusted shares of N photographs at up to `STEPS` thresholds."""

    # (N, steps) float64, nondecreasing along the steps; between two steps the lower one counts.
    losses: NDArray[np.float64]
    shares: NDArray[np.float64]
    bound: float  # The largest loss.
    # Like `losses` and `bound`, for the guarantee beside.
    errors: NDArray[np.float64]
    most: float
    own: NDArray[np.float64] | None = None  # Bounds of each picture's own loss at the steps; None: all are `bound`.

    @classmethod
    def of(cls, curves: CurveSet, errors: CurveSet | None = None, own: CurveSet | None = None) -> Self:
        """Tabulate curves of at least one photograph.

        `errors`: Curves of the largest error; None: `curves` are these.
        `own`: Bounds of each picture's own loss.
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
        """Predict, at each level, the share that `rule` trusts after calibrating on `n` photographs like these."""
        outcomes = self.outcomes(rule, levels, n, seed)
        shares = outcomes.mean(axis=0)
        errors = np.quantile(np.abs(outcomes - shares), COVERED, axis=0) * _widening(len(self.losses))
        return [Prospect(float(share), float(error)) for share, error in zip(shares, errors, strict=True)]

    def outcomes(self, rule: Guarantee, levels: Sequence[float], n: int, seed: int = 0) -> NDArray[np.float64]:
        """Return (`RESAMPLES`, levels) trusted shares that calibrations on `n` photographs like these might reach.

        A double bootstrap (Efron 1979): N photographs drawn with replacement are a possible world, and n drawn from it
        calibrate. The outcome is the share of the world that they trust, so its spread holds the luck of the n and the
        little that N photographs tell.

        `rule`: A guarantee that `is_foretold`.
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
                sums, allowed = main.sums(claim.losses), claim.level * (n + 1) + ROUNDING
                for bounds, trusted, times in zip(self.own, self.shares, worlds.T, strict=True):
                    there = np.count_nonzero(sums + bounds <= allowed, axis=1)
                    found[:, place] += times / len(self.own) * np.where(there > 0, trusted[there - 1], 0.0)
                continue
            steps = np.minimum(rule.thresholds_allowed(main, level, self.bound), beside)
            found[:, place] = np.where(steps > 0, shares[np.arange(RESAMPLES), steps - 1], 0.0)
        return found


def _widening(photographs: int) -> float:
    """Correct the bootstrap's spread for few photographs, as Student's t is wider than a normal.

    First terms of the quantile's expansion (Abramowitz and Stegun 1964, 26.7.5), and variance divided by N - 1, not N.
    """
    freedom, normal = max(1, photographs - 1), 1.6449
    return math.sqrt(photographs / freedom) * (1 + (normal**2 + 1) / (4 * freedom))


# Trusted shares, measured on photographs of many kinds with several vendors, ship with the package.

FILE = "measured_shares.json"
DETAIL_FILE = "measured_shares_of_detail.json"
"""Like `FILE`, for promises about detail, which have their own score and levels."""

WHOLE = 1000  # The file stores shares in thousandths.


def series_name(promise: Promise, draws: int, delivery: str) -> str:
    """Return the key of a series in the file."""
    return f"{promise.name} | {draws} | {delivery}"


def _series(promise: Promise, setup: Setup) -> str:
    return series_name(promise, setup.procedure.draws, setup.procedure.delivery)


@dataclass(frozen=True, eq=False)
class MeasuredShares:
    """Mean trusted shares over vendors and collections of photographs, and how far single ones lie from the mean."""

    source: str  # Vendors, collections and photographs, in words.
    # The scale, degradation, metric, and score for each number of draws that were measured.
    settings: Mapping[str, Any]
    # Levels and numbers of calibration photographs, ascending.
    levels: Sequence[float]
    numbers: Sequence[int]
    # Name → "shares", "errors" and "vendors" (distance of other vendors from the stand-in), each (levels, numbers).
    series: Mapping[str, Mapping[str, NDArray[np.float64]]]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Read the content of a file."""
        return cls(
            content["source"],
            content["settings"],
            content["levels"],
            content["numbers"],
            {
                name: {kind: np.array(values) / WHOLE for kind, values in one.items()}
                for name, one in content["series"].items()
            },
        )

    def fits(self, setup: Setup) -> bool:
        """Tell whether the set-up has the metric, scale, inputs and score that were measured."""
        procedure, scores = setup.procedure, self.settings["scores"]
        metric = {name: value for name, value in procedure.metric.items() if name != "cap"}
        return bool(
            metric == self.settings["metric"]
            and procedure.scale == self.settings["scale"]
            and procedure.degradation == self.settings["degradation"]
            and procedure.score == scores.get(str(procedure.draws))
        )

    def as_measured(self, setup: Setup) -> Setup:
        """Give the set-up the score that was measured with its number of draws, if one was."""
        score = dict(self.settings["scores"].get(str(setup.procedure.draws), {}))
        if not score:
            return setup
        return setup.with_score(catalog.load("scores", score.pop("name"), **score), setup.procedure.draws)

    def prospects(self, promise: Promise, setup: Setup, levels: Sequence[float], n: int) -> list[Prospect | None]:
        """Return the share to expect at each level; None where the set-up differs or nothing near was measured.

        Shares are interpolated linearly in the level and in log(n); the error is the largest of the neighbours.
        """
        name = _series(promise, setup)
        shares, errors = (self._around(kind, name, setup, levels, n) for kind in ("shares", "errors"))
        return [
            None if near is None or around is None else Prospect(near[0], around[1])
            for near, around in zip(shares, errors, strict=True)
        ]

    def vendor_errors(self, promise: Promise, setup: Setup, levels: Sequence[float], n: int) -> list[float | None]:
        """Return how far other vendors lie from the stand-in, at each level; None as in `prospects`.

        A promise that was not measured, such as one with a cap, gets the largest measured distance.
        """
        name = _series(promise, setup)
        alike = [one for one in self.series if one.endswith(name.removeprefix(promise.name))]
        names = [name] if name in self.series else alike or [name]
        around = [self._around("vendors", each, setup, levels, n) for each in names]
        known = [[near[1] for near in at_level if near is not None] for at_level in zip(*around, strict=True)]
        return [max(errors, default=None) for errors in known]

    def _around(
        self, kind: str, name: str, setup: Setup, levels: Sequence[float], n: int
    ) -> list[tuple[float, float] | None]:
        if name not in self.series or not self.numbers[0] <= n <= self.numbers[-1] or not self.fits(setup):
            return [None for _ in levels]
        return [self.at(name, kind, level, n) for level in levels]

    def at(self, name: str, kind: str, level: float, n: int) -> tuple[float, float] | None:
        """Return (interpolated value, largest neighbour) of one series; None outside the measured levels."""
        if not self.levels[0] <= level <= self.levels[-1]:
            return None
        row, between = _place(np.array(self.levels), level)
        column, along = _place(np.log(self.numbers), float(np.log(n)))
        square = self.series[name][kind][row : row + 2, column : column + 2]
        return float(np.array([1 - between, between]) @ square @ np.array([1 - along, along])), float(square.max())


def _place(points: NDArray[np.float64], value: float) -> tuple[int, float]:
    index = min(int(np.searchsorted(points, value, side="right")) - 1, len(points) - 2)
    return index, float((value - points[index]) / (points[index + 1] - points[index]))


@cache
def measured_shares(*, of_detail: bool = False) -> MeasuredShares:
    """Load the shares that ship with the package, for promises about errors or about detail."""
    text = files(__package__).joinpath(DETAIL_FILE if of_detail else FILE).read_text(encoding="utf-8")
    return MeasuredShares.of(json.loads(text))
