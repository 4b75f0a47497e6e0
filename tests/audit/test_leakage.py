"""Planted leakage: the risk it causes stays below the bound that is stated for it."""

import numpy as np
import pytest

from blackbox_conformal.audit.leakage import leakage_curve
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet

N, M, ALPHA, COUNTS = 30, 400, 0.2, (0, 3, 8, 15, 25)


def photographs(seed, count):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scores = np.sort(rng.random(20)).astype(np.float32)
        losses = np.linspace(0.02, 0.9, 20).astype(np.float32) * np.float32(rng.uniform(0.3, 1.1))
        found.append(RiskCurve(scores, losses, 1.0))
    return CurveSet.from_curves(found)


def test_risk_grows_with_the_leak_and_keeps_to_its_bound():
    found = np.zeros((40, len(COUNTS), 2))
    for seed in range(40):
        points = leakage_curve(photographs(seed, N), photographs(900 + seed, M), ALPHA, COUNTS, repeats=3, seed=seed)
        found[seed] = [(point.risk, point.risk_allowed) for point in points]
    mean, error = found.mean(axis=0), found.std(axis=0) / 40**0.5
    bounds = [min(ALPHA * (N + 1) / (N - count + 1), 1.0) for count in COUNTS]
    assert [point.bound for point in points] == pytest.approx(bounds)
    assert (mean[:, 0] <= bounds + 3 * error[:, 0]).all()
    assert (mean[:, 1] <= ALPHA + 3 * error[:, 1]).all()
    assert (np.diff(mean[:, 0]) > 0).all()
    assert mean[-1, 0] > 1.5 * ALPHA, "a leak of 25 in 30 must hurt, or nothing was planted"


def test_leaked_photographs_may_be_given():
    calibrating, unseen = photographs(1, N), photographs(2, M)
    same = leakage_curve(calibrating, unseen, ALPHA, [10], leaked=photographs(3, 200), repeats=40)[0]
    worst = leakage_curve(calibrating, unseen, ALPHA, [10], repeats=40)[0]
    assert same.risk < ALPHA + 0.03 < worst.risk


def test_more_leaks_than_photographs_are_refused():
    with pytest.raises(CalibrationError, match="0 to 30"):
        leakage_curve(photographs(1, N), photographs(2, 5), ALPHA, [31])
