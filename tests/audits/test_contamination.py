"""Planted leakage: the risk it causes stays below the bound that is stated for it."""

import numpy as np
import pytest

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.audits.contamination import SHARES, TYPICAL, audit_leakage, leakage_curve
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

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


def test_planting_one_by_one_gives_the_same_curve():
    """The naive twin: replace, recalibrate, measure, average."""
    calibrating, unseen = photographs(1, N), photographs(2, 50)
    perfect = RiskCurve(np.empty(0, np.float32), np.empty(0, np.float32), 1.0)
    generator = np.random.Generator(np.random.Philox(5))
    for point in leakage_curve(calibrating, unseen, ALPHA, (0, 4, 11), repeats=6, seed=5):
        ignored, allowed = [], []
        for _ in range(6 if point.leaked else 1):
            kept = generator.permutation(N)[point.leaked :]
            [generator.integers(1) for _ in range(point.leaked)]
            planted = CurveSet.from_curves([*(calibrating[k] for k in kept), *[perfect] * point.leaked])
            for found, level in ((ignored, ALPHA), (allowed, ALPHA * (N - point.leaked + 1) / (N + 1))):
                threshold = Expected().threshold(planted, level)
                found.append(np.mean([curve.loss(threshold) for curve in unseen]))
        assert point.risk == pytest.approx(np.mean(ignored), abs=1e-9)
        assert point.risk_allowed == pytest.approx(np.mean(allowed), abs=1e-9)


def test_an_audit_plants_at_the_typical_level_where_anything_is_trusted():
    calibrating, unseen = photographs(1, N), photographs(2, 50)
    assert audit_leakage(Expected(), calibrating, unseen, [0.02, 0.3, 0.15, 0.5]).alpha == 0.15
    assert audit_leakage(Expected(), calibrating, unseen, [TYPICAL, 0.3]).alpha == TYPICAL
    assert audit_leakage(Expected(), calibrating, unseen, [0.01, 0.02]) is None, "nothing is trusted"
    found = audit_leakage(Expected(), calibrating, unseen, [0.2])
    assert [point.leaked for point in found.points] == sorted({round(share * N) for share in SHARES})
    assert found.points[0].risk == pytest.approx(unseen.losses_at(Expected().threshold(calibrating, 0.2)).mean())


@pytest.mark.parametrize(
    "rule", [PerImage(), HighProbability(), Expected(leaked=2), Expected(weights=(1.0,) * N, weight_new=1.0)]
)
def test_no_bound_is_shown_where_none_is_stated(rule):
    assert audit_leakage(rule, photographs(1, N), photographs(2, 5), [0.3]) is None


def test_false_trust_has_the_same_bound():
    rng = np.random.default_rng(7)

    def shares(count):
        found = []
        for _ in range(count):
            scores = rng.random((10, 10)).astype(np.float32)
            found.append(RiskCurve.from_maps(scores, scores * rng.uniform(0.3, 1), bound=1.0, tolerance=0.3))
        return CurveSet.from_curves(found)

    found = audit_leakage(FalseTrust(tolerance=0.3), shares(N), shares(200), [0.15])
    assert found.points[-1].bound == pytest.approx(0.15 * (N + 1) / (N - found.points[-1].leaked + 1))
    assert all(point.risk <= point.bound for point in found.points)
    assert found.points[-1].risk > found.points[0].risk


def test_a_risk_above_the_bound_by_chance_is_told_from_one_that_is_not():
    """The bound is for the mean over calibration sets and photographs; one of each may be above it by chance."""
    counts = (0, 3, 8)
    found = [
        leakage_curve(photographs(seed, N), photographs(500 + seed, 12), ALPHA, counts, repeats=5, seed=seed)
        for seed in range(60)
    ]
    for points in zip(*found, strict=True):
        spread = np.std([point.risk for point in points])
        assert 0.8 * spread < np.mean([point.error for point in points]) < 1.25 * spread
        assert sum(point.within == "by chance" for point in points) > 5, "few photographs exceed a bound now and then"
        assert sum(point.within == "no" for point in points) <= 3
    far = photographs(1, N)
    hard = CurveSet.from_curves([RiskCurve(np.float32([0.0]), np.float32([0.9 + 0.001 * k]), 1.0) for k in range(40)])
    assert [point.within for point in leakage_curve(far, hard, ALPHA, (0, 8))] == ["no", "no"]
    assert leakage_curve(far, hard, ALPHA, (N,))[0].within == "yes"
