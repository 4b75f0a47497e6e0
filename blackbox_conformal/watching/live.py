"""Whether pictures that are masked, whose truth is unknown, are still like the calibration's: two questions apart.

The inputs: is a picture's own input like those before? The answers: is the answer like those before, given its input?
Each feature is ranked in a bag that grows with every picture, the calibration's photographs first, and its ranks bet in
a martingale. An answer's feature is ranked by what its input does not explain: the residual of a ridge regression on
the input's statistics over the whole bag with the new picture in it. All of them take part alike, so that the ranks of
exchangeable pictures are independent and uniform (Vovk, Gammerman and Shafer 2005, theorem 8.2). A change of inputs
that moves answers along with them is then no change of the vendor (Prinster et al. 2025, for weights instead).

The unit is the picture, and each feature bets by itself with its part of the level. So pictures must be exchangeable
with the calibration's photographs: a vendor that sends a whole session to one of several models is not covered here, as
it is by visits.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.images.input_statistics.statistics import SIZE, STATISTICS, InputStatistics
from blackbox_conformal.method.risk.answers import LEVELS, Answers
from blackbox_conformal.watching.ranks import rank_p_value

INPUTS = tuple(statistic.name for statistic in STATISTICS if statistic.name != SIZE)
"""Sizes are left out: certificates have a note of their own on them."""

_SCORES = {"low scores": 0.1, "median score": 0.5, "high scores": 0.9}
ANSWERS = ("resemblance", "difference", *_SCORES, "trusted share", "agreement with the free reference")
"""How much the answer shows what was sent; how far it is from it when made small again; scores of the most certain
tenth, half and nine tenths of its pixels; share that is trusted at the level of the mask; how well its detail agrees
with that of the reference that the score compares with."""

POWERS = (0.25, 0.5)
"""Exponents e of the bets ``e p^(e-1)`` on small p-values and, with 1 - p, on large ones."""

JUMP = 0.01
"""The share of the capital that is spread over the bets before each p-value."""

_RIDGE = 1.0
_DIGITS = 9
_LEAST = 1e-12

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wealth:
    """A martingale of one feature.

    Attributes
    ----------
    shares
        Of its capital, by bet: none, and each of `POWERS` on small and on large p-values. They add up to 1.
    log_wealth, log_highest
        Logarithm of its capital now, and of the largest ever.
    """

    shares: tuple[float, ...] = (1 / (1 + 2 * len(POWERS)),) * (1 + 2 * len(POWERS))
    log_wealth: float = 0.0
    log_highest: float = 0.0

    def after(self, p_value: float) -> "Wealth":
        """The martingale after a p-value, which is uniform on [0, 1] while nothing has changed."""
        # Infinite gains would make the whole capital one bet that can never lose.
        small, large = max(p_value, _LEAST), max(1 - p_value, _LEAST)
        gains = np.array([1.0, *(e * p ** (e - 1) for p in (small, large) for e in POWERS)])
        # A little of the capital is spread again, so that an old bet cannot hold it all.
        capital = ((1 - JUMP) * np.array(self.shares) + JUMP / len(gains)) * gains
        total = float(capital.sum())
        log = self.log_wealth + math.log(total)
        # Kept as shares and a logarithm, so that neither ever overflows.
        return Wealth(tuple((capital / total).tolist()), log, max(self.log_highest, log))


def log_wealth(p_values: Values) -> Values:
    """(n, k): logarithm of each of k martingales after each of n pictures, as `Wealth.after` leaves it.

    Parameters
    ----------
    p_values
        (n, k); NaN where a feature does not bet on a picture.
    """
    shares = np.full((p_values.shape[1], 1 + 2 * len(POWERS)), 1 / (1 + 2 * len(POWERS)))
    steps = np.zeros(p_values.shape)
    for step, row in zip(steps, p_values, strict=True):
        # A feature that a picture does not have leaves its bets where they are.
        known = np.isfinite(row)
        p = row[known]
        ends = [np.maximum(p, _LEAST), np.maximum(1 - p, _LEAST)]
        gains = np.stack([np.ones(len(p)), *(e * end ** (e - 1) for end in ends for e in POWERS)], axis=1)
        # A little of the capital is spread again, as `Wealth.after` does it.
        capital = ((1 - JUMP) * shares[known] + JUMP / shares.shape[1]) * gains
        total = capital.sum(axis=1)
        shares[known], step[known] = capital / total[:, None], np.log(total)
    return np.asarray(steps.cumsum(axis=0))


def p_values(
    inputs: InputStatistics, answers: Answers, threshold: float, tie: Callable[[str], float], first: int = 0
) -> dict[str, float]:
    """The p-value of each feature of the last of n pictures among all of them; small where it is among the largest.

    Parameters
    ----------
    inputs, answers
        (n,) each, the bag with the new picture at its end.
    threshold
        Scores below it are trusted, for every picture of the bag alike.
    tie
        Feature → its place among its equals, uniform on [0, 1).
    first
        Where answers begin that the new one is ranked among; inputs are ranked among all.

    Returns
    -------
    Features of `INPUTS` and `ANSWERS`. Those of answers that the picture does not have are left out.
    """
    found = {name: _place(inputs.column(name), tie(name)) for name in INPUTS}
    explaining = _standardised(inputs.values[first:].astype(np.float64))
    for name, values in _features(answers, threshold).items():
        values = values[first:]
        known = np.isfinite(values)
        if known[-1]:
            found[name] = _place(_unexplained(values[known], explaining[known]), tie(name))
    return found


def highest(wealth: Mapping[str, Wealth], names: tuple[str, ...]) -> tuple[str, float]:
    """Which of these features' martingales reached most, and the logarithm of that."""
    # The highest wealth ever, since a martingale that reached it is an alarm for good.
    name = max(names, key=lambda name: wealth[name].log_highest if name in wealth else 0.0)
    return name, wealth[name].log_highest if name in wealth else 0.0


def _features(answers: Answers, threshold: float) -> dict[str, Values]:
    scores = {name: answers.values[:, 2 + LEVELS.index(share)].astype(np.float64) for name, share in _SCORES.items()}
    found = {"resemblance": answers.resemblance, "difference": answers.difference, **scores}
    return {**found, "trusted share": answers.trusted_share(threshold), ANSWERS[-1]: answers.agreement}


def _place(values: Values, tie: float) -> float:
    """The p-value of the last of (n,) values."""
    return rank_p_value(values[:-1].tolist(), float(values[-1]), tie)


def _standardised(values: Values) -> Values:
    """Columns with mean 0 and standard deviation 1; one that is constant is 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    # A constant column explains nothing, and its rounding error must not be made large.
    constant = spread <= 1e-9 * np.abs(values).max(axis=0, initial=0)
    return np.asarray(np.where(constant, 0.0, centred / np.where(constant, 1.0, spread)))


def _unexplained(values: Values, explaining: Values) -> Values:
    """(n,): what a ridge regression on (n, k) columns leaves, rounded so that equal pictures are equal."""
    columns, wanted = _standardised(explaining), _standardised(values)
    # Without it, more features than pictures would have no solution.
    penalised = columns.T @ columns + _RIDGE * np.eye(columns.shape[1])
    return np.asarray(np.round(wanted - columns @ np.linalg.solve(penalised, columns.T @ wanted), _DIGITS))
