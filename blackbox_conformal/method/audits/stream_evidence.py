"""Weigh the evidence that pictures which come one after the other are unlike a calibration's photographs.

New pictures wait for a block, whose size follows from how they come and not from their content. The permutation test of
`input_shift` compares each block with all before it, the calibration's photographs first. While all are exchangeable,
such p-values are independent and uniform or larger (Vovk, Gammerman and Shafer 2005, theorem 8.2, with a block for a
picture), whatever the ties. A mixture of bets on small p-values is then at most a martingale that starts at 1: it ever
reaches c with a probability of at most 1 / c (Ville). So one may look after each block.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.input_shift import joint_test
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.risk.answers import LEVELS, Answers

ALARM = 20.0
"""Evidence at which pictures are no longer like the calibration's: 5 % of streams of right ones ever reach it."""

LEAST, MOST = 4, 20
"""So many pictures are compared together, and so many at the most where they come one by one."""

FIRST, ANY, LOOKS = 0.005, 0.000125, 50
"""The first block raises the alarm by itself at the one p-value, and each of so many at the other."""

EXPONENTS = (0.1, 0.25, 0.5)
JUMP = 0.1
"""The rest of the capital bets ``e p^(e-1)`` for each exponent, or nothing. This share is spread over the bets before
each block, so that an old loss ends none of them."""

_SCORES = {"low scores": 0.1, "median score": 0.5, "high scores": 0.9}
STRANGENESS = "strangeness"
ANSWERS = ("resemblance", "difference", *_SCORES, "trusted share", "agreement with the free reference", STRANGENESS)
"""How much the answer shows of the input; how far it is from the input when made small again; scores of the most
certain tenth, half and nine tenths of its pixels; share trusted at the mask's level; agreement of its detail with the
reference that the score compares with; how far all its differences from the input reach, see `PairSizes`."""

_RIDGE, _DIGITS = 1.0, 9


def evidence(inputs: Sequence[float], answers: Sequence[float]) -> float:
    """Return the evidence after blocks with these p-values: half of each capital, as either may raise the alarm."""
    return max(_capital(inputs), _capital(answers)) / 2


def _capital(p_values: Sequence[float]) -> float:
    alarm = 2 * ALARM
    won = alarm * (sum(p <= FIRST for p in p_values[:1]) + sum(p <= ANY for p in p_values[:LOOKS]))
    capital = np.full(len(EXPONENTS) + 1, (1 - alarm * (FIRST + ANY * LOOKS)) / (len(EXPONENTS) + 1))
    for p in p_values:
        gains = [1.0, *(e * p ** (e - 1) for e in EXPONENTS)]
        capital = ((1 - JUMP) * capital + JUMP * capital.mean()) * gains
    return won + float(capital.sum())


def enough(waiting: int, together: int, compared: int) -> bool:
    """Tell whether `waiting` pictures are compared now; `together` of them came at once, after `compared` others."""
    return max(together, waiting if waiting >= min(compared // 2, MOST) else 0) >= LEAST


def answers_test(
    known: tuple[InputStatistics, Answers], new: tuple[InputStatistics, Answers], threshold: float, seed: int
) -> tuple[float, str]:
    """Return the p-value of `new` answers being like `known` ones, beyond their inputs' part, and what differs most.

    Both are statistics of inputs with the answers to them; scores below `threshold` are trusted.
    """
    inputs = InputStatistics.together([known[0], new[0]]).values.astype(np.float64)
    features = answer_features(Answers.together([known[1], new[1]]), threshold)
    if np.any(np.isnan(features[STRANGENESS]) & np.isfinite(features["difference"])):
        # Earlier versions measured none: what is known would tell when a picture came.
        features[STRANGENESS][:] = np.nan
    values = np.full((len(inputs), len(features)), np.nan)
    for column, feature in zip(values.T, features.values(), strict=True):
        rows = np.isfinite(feature)
        if rows.any():
            column[rows] = unexplained(feature[rows], standardised(inputs[rows]))
    standardised_sums, p_values = joint_test(values, len(new[0]), seed=seed)
    most = int(np.abs(standardised_sums).argmax())
    which = "larger" if standardised_sums[most] > 0 else "smaller"
    said = f"the {list(features)[most]} of their answers is {which} than their inputs explain"
    return float(p_values.min()), said


def answer_features(answers: Answers, threshold: float) -> dict[str, NDArray[np.float64]]:
    """Return the compared features of n answers, (n,) float64 each, NaN where unknown; scores below `threshold` are
    trusted."""
    scores = {name: answers.values[:, 2 + LEVELS.index(share)].astype(np.float64) for name, share in _SCORES.items()}
    found = {"resemblance": answers.resemblance, "difference": answers.difference, **scores}
    found |= {"trusted share": answers.trusted_share(threshold), "agreement with the free reference": answers.agreement}
    return {**found, STRANGENESS: answers.strangeness}


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns with mean 0 and standard deviation 1, or of zeros where constant."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    # A constant column explains nothing, and its rounding error must not be made large.
    constant = spread <= 1e-9 * np.abs(values).max(axis=0, initial=0)
    return np.asarray(np.where(constant, 0.0, centred / np.where(constant, 1.0, spread)))


def unexplained(values: NDArray[np.float64], explaining: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the residual of a ridge regression on (n, k) columns, (n,), rounded so that equal pictures are equal."""
    columns, wanted = standardised(explaining), standardised(values)
    # Without the ridge, more features than pictures would have no solution.
    penalised = columns.T @ columns + _RIDGE * np.eye(columns.shape[1])
    return np.asarray(np.round(wanted - columns @ np.linalg.solve(penalised, columns.T @ wanted), _DIGITS))
