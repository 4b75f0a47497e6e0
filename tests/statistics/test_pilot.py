"""Choosing by a pilot: the guarantee holds if its photographs do not calibrate, and breaks if they do.

Each photograph has one error of 1, at a score that is uniform, and its scores are uniform, so that a threshold t in
[0, 1] trusts the share t of every photograph and has the risk t. Levels and numbers are those at which conformal risk
control has no slack.
"""

from collections.abc import Callable

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.plan import expected_shares
from blackbox_conformal.study.plan.expected_shares import CurveOutlook

RULE, PILOT, TRIALS = Expected(), 20, 500
LEVELS = tuple(np.round(np.arange(0.08, 0.6, 0.04), 2))
NUMBERS = (24, 49, 99, 199)
SHARES = np.linspace(0, 1, 51, dtype=np.float32)

Choice = tuple[float, int]
"""A level and a number of photographs."""


def photographs(errors: np.ndarray) -> CurveSet:
    """The curves of photographs whose error of 1 lies at these scores."""
    each, areas = np.arange(errors.size + 1), (np.tile(of, errors.size) for of in (SHARES[1:-1], SHARES[2:]))
    return CurveSet(each, errors, np.ones_like(errors), each * (SHARES.size - 2), *areas, 1.0)


def level_by_pilot(pilot: CurveSet) -> Choice:
    """The smallest level that is expected to trust a quarter of a picture after calibrating on the fewest."""
    found = CurveOutlook.of(pilot).prospects(RULE, LEVELS, NUMBERS[0])
    reaching = (level for level, one in zip(LEVELS, found, strict=True) if one.share >= 0.25)
    return next(reaching, LEVELS[-1]), NUMBERS[0]


def number_by_pilot(pilot: CurveSet) -> Choice:
    """At 0.2 the smallest number of photographs that is expected to trust a fifth of a picture."""
    outlook = CurveOutlook.of(pilot)
    reaching = (n for n in NUMBERS if outlook.prospects(RULE, [0.2], n)[0].share >= 0.2)
    return 0.2, next(reaching, NUMBERS[-1])


@pytest.mark.parametrize("choose", [level_by_pilot, number_by_pilot])
def test_the_guarantee_holds_without_the_pilots_photographs_and_breaks_with_them(
    choose: Callable[[CurveSet], Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_shares, "RESAMPLES", 60)
    generator = np.random.default_rng(20)
    ratios = np.empty((2, TRIALS))
    for trial in range(TRIALS):
        errors = generator.random(PILOT + NUMBERS[-1], dtype=np.float32)
        alpha, n = choose(photographs(errors[:PILOT]))
        for row, start in enumerate((PILOT, 0)):
            threshold = RULE.threshold(photographs(errors[start : start + n]), alpha)
            ratios[row, trial] = np.clip(threshold, 0, 1) / alpha
    left_out, counted = ratios.mean(axis=1)
    deviation = 3 * ratios.std(axis=1, ddof=1) / np.sqrt(TRIALS)
    assert left_out <= 1 + deviation[0]
    assert counted > 1 + deviation[1], "a control that must break"
