"""What share of new pictures a calibration on n photographs would trust, predicted from the curves of others."""

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


# Trusted shares that were measured on photographs of many kinds with several vendors, as they ship with the package.

FILE = "measured_shares.json"
DETAIL_FILE = "measured_shares_of_detail.json"
"""The same of promises about detail, which have a score and levels of their own."""

WHOLE = 1000
"""Shares in the file are whole numbers, thousandths."""


def series_name(promise: Promise, draws: int, delivery: str) -> str:
    """What a series is called in the file."""
    return f"{promise.name} | {draws} | {delivery}"


def _series(promise: Promise, setup: Setup) -> str:
    return series_name(promise, setup.procedure.draws, setup.procedure.delivery)


@dataclass(frozen=True, eq=False)
class MeasuredShares:
    """Mean trusted shares over vendors and collections of photographs, and how far one of them lies from the others.

    Attributes
    ----------
    source
        Vendors, collections and photographs, in words.
    settings
        Scale, degradation and metric that they were measured with, and the score for each number of draws.
    levels, numbers
        Levels and numbers of calibration photographs, ascending.
    series
        Name → shares, errors, and how far other vendors are from the stand-in on the same photographs: each (levels,
        numbers).
    """

    source: str
    settings: Mapping[str, Any]
    levels: Sequence[float]
    numbers: Sequence[int]
    series: Mapping[str, Mapping[str, NDArray[np.float64]]]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """What the file says."""
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
        """Whether the set-up measures and draws as these shares were measured: metric, scale, inputs, score."""
        procedure, scores = setup.procedure, self.settings["scores"]
        metric = {name: value for name, value in procedure.metric.items() if name != "cap"}
        return bool(
            metric == self.settings["metric"]
            and procedure.scale == self.settings["scale"]
            and procedure.degradation == self.settings["degradation"]
            and procedure.score == scores.get(str(procedure.draws))
        )

    def as_measured(self, setup: Setup) -> Setup:
        """The set-up with the score that was measured with so many draws; the same where none was."""
        score = dict(self.settings["scores"].get(str(setup.procedure.draws), {}))
        if not score:
            return setup
        return setup.with_score(catalog.load("scores", score.pop("name"), **score), setup.procedure.draws)

    def prospects(self, promise: Promise, setup: Setup, levels: Sequence[float], n: int) -> list[Prospect | None]:
        """What to expect at each level; None where the set-up is another one or nothing near was measured.

        Shares are interpolated, in the level and in the logarithm of n; of the errors around the largest counts.
        """
        name = _series(promise, setup)
        shares, errors = (self._around(kind, name, setup, levels, n) for kind in ("shares", "errors"))
        return [
            None if near is None or around is None else Prospect(near[0], around[1])
            for near, around in zip(shares, errors, strict=True)
        ]

    def vendor_errors(self, promise: Promise, setup: Setup, levels: Sequence[float], n: int) -> list[float | None]:
        """How far other vendors are from the stand-in; None as for `prospects`.

        Of a promise that was not measured, such as one with a cap, the farthest of those that were.
        """
        around = [self._around("vendors", name, setup, levels, n) for name in self._nearest(promise, setup)]
        known = [[near[1] for near in at_level if near is not None] for at_level in zip(*around, strict=True)]
        return [max(errors, default=None) for errors in known]

    def _nearest(self, promise: Promise, setup: Setup) -> list[str]:
        """The series of a promise, or of all promises where it has none; at least one."""
        name = _series(promise, setup)
        same = name.removeprefix(promise.name)
        return [name] if name in self.series else [one for one in self.series if one.endswith(same)] or [name]

    def _around(
        self, kind: str, name: str, setup: Setup, levels: Sequence[float], n: int
    ) -> list[tuple[float, float] | None]:
        """What was measured of a kind, interpolated, and the largest around, at each level."""
        if name not in self.series or not self.numbers[0] <= n <= self.numbers[-1] or not self.fits(setup):
            return [None for _ in levels]
        return [self.at(name, kind, level, n) for level in levels]

    def at(self, name: str, kind: str, level: float, n: int) -> tuple[float, float] | None:
        """What was measured of a series, interpolated, and the largest around; None beyond the levels."""
        if not self.levels[0] <= level <= self.levels[-1]:
            return None
        row, between = _place(np.array(self.levels), level)
        column, along = _place(np.log(self.numbers), float(np.log(n)))
        square = self.series[name][kind][row : row + 2, column : column + 2]
        return float(np.array([1 - between, between]) @ square @ np.array([1 - along, along])), float(square.max())


def _place(points: NDArray[np.float64], value: float) -> tuple[int, float]:
    """The index of the point below `value` that has one above, and how far `value` is from it to that, 0 to 1."""
    index = min(int(np.searchsorted(points, value, side="right")) - 1, len(points) - 2)
    return index, float((value - points[index]) / (points[index + 1] - points[index]))


@cache
def measured_shares(*, of_detail: bool = False) -> MeasuredShares:
    """The file that ships with the package, of promises about errors or about detail."""
    text = files(__package__).joinpath(DETAIL_FILE if of_detail else FILE).read_text(encoding="utf-8")
    return MeasuredShares.of(json.loads(text))
