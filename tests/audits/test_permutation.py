"""Random splits: the quick way equals recalibrating one by one, ties and refused photographs included."""

import numpy as np
import pytest

from blackbox_conformal.method.audits import permutation
from blackbox_conformal.method.audits.permutation import SPLITS, resplit_risks
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

ALPHAS = [0.02, 0.05, 0.1, 0.3, 0.9, 0.99]


def curves(seed, count, *, refused=0, tolerance=None, ties=True):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        size = (6, 7)
        scores = rng.integers(0, 9, size) / 8 if ties else rng.random(size)
        metric = np.minimum(rng.random(size) * scores * rng.uniform(0.1, 1), 1)
        found.append(RiskCurve.from_maps(scores, metric, bound=1.0, tolerance=tolerance))
    found += [RiskCurve.worst(1.0, "supremum" if tolerance is None else "share", tolerance=tolerance)] * refused
    return CurveSet.from_curves(found)


def recalibrated(rule, pooled, n, alphas, seed, splits):
    generator = np.random.Generator(np.random.Philox(seed))
    found = []
    for _ in range(splits):
        order = generator.permutation(len(pooled))
        calibrating = CurveSet.from_curves([pooled[index] for index in order[:n]])
        audited = [pooled[index] for index in order[n:]]
        thresholds = [rule.threshold(calibrating, alpha) for alpha in alphas]
        found.append([np.mean([curve.loss(threshold) for curve in audited]) for threshold in thresholds])
    return np.array(found)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("refused", [0, 3])
def test_all_splits_at_once_equal_one_by_one(ties, refused):
    pooled = curves(1, 30, refused=refused, ties=ties)
    found = resplit_risks(Expected(), pooled, 20, ALPHAS, seed=7)
    assert found.shape == (SPLITS, len(ALPHAS))
    assert found[:60] == pytest.approx(recalibrated(Expected(), pooled, 20, ALPHAS, 7, 60), abs=1e-12)
    assert len(np.unique(found[:, 2])) > 20


def test_false_trust_goes_the_quick_way_too():
    pooled = curves(2, 25, tolerance=0.2, refused=1)
    found = resplit_risks(FalseTrust(), pooled, 15, ALPHAS, seed=1)
    assert found[:40] == pytest.approx(recalibrated(FalseTrust(), pooled, 15, ALPHAS, 1, 40), abs=1e-12)


def test_curves_without_any_error_have_no_risk():
    nothing = RiskCurve(np.empty(0, np.float32), np.empty(0, np.float32), 1.0)
    assert not resplit_risks(Expected(), CurveSet.from_curves([nothing] * 5), 3, [0.5]).any()


def test_per_image_counts_photographs_with_a_miss():
    pooled = curves(3, 40, ties=False)
    rule = PerImage(delta=0.2)
    found = resplit_risks(rule, pooled, 25, [0.1], seed=2)
    assert set(np.unique(np.round(found * 15, 9))) <= set(range(16))
    assert 0.05 < found.mean() <= 0.2 + 0.02


@pytest.mark.parametrize(("rule", "least"), [(Expected(), 999), (PerImage(delta=0.3), 199)])
@pytest.mark.parametrize("levels", [1, 5, 12, 30])
def test_splits_suffice_to_contradict_one_of_many_levels(rule, least, levels, monkeypatch):
    """The least p-value must be below the share of the error level that one of so many levels has."""
    # How many there are is asked; that each recalibrates is tested above, and takes long.
    monkeypatch.setattr(permutation, "_one", lambda *_: [0.0] * levels)
    found = resplit_risks(rule, curves(6, 12), 8, np.linspace(0.1, 0.9, levels).tolist())
    assert len(found) >= least
    assert 1 / (len(found) + 1) <= 0.05 / levels


def test_high_probability_is_recalibrated_too():
    pooled = curves(4, 60, ties=False)
    rule = HighProbability(delta=0.2)
    found = resplit_risks(rule, pooled, 40, [0.3], seed=3)
    assert found[:5] == pytest.approx(recalibrated(rule, pooled, 40, [0.3], 3, 5), abs=1e-12)


@pytest.mark.parametrize(
    "rule",
    [Expected(leaked=1), Expected(weights=(1.0,) * 20, weight_new=1.0), ByGroup(groups=("a",) * 20, group_new="a")],
)
def test_no_test_where_photographs_are_not_alike(rule):
    assert not rule.treats_photographs_alike
    assert resplit_risks(rule, curves(5, 30), 20, [0.1]) is None


def test_the_p_value_is_uniform_when_nothing_is_wrong():
    """Over 100 exchangeable pools the observed split ranks anywhere: at most 5 % + 3 standard errors below 0.05."""
    low = 0
    for seed in range(100):
        pooled = curves(1000 + seed, 24, ties=False)
        observed = recalibrated(Expected(), pooled, 16, [0.2], seed, 1)[0, 0]
        null = resplit_risks(Expected(), pooled, 16, [0.2], seed + 10_000)[:, 0]
        low += (np.count_nonzero(null >= observed - 1e-9) + 1) / (SPLITS + 1) <= 0.05
    assert 1 <= low <= 100 * (0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5)
