"""Thresholds equal those of three independent implementations, on random tables of whole numbers full of ties."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from crepes import ConformalRegressor
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value, find_best_predict_param, get_r_hat_plus
from riskgate import conformal_quantile, crc_threshold
from riskgate.multirisk import hb_pvalue, ltt_threshold
from riskgate.weighted import weighted_crc_threshold

from blackbox_conformal.method.guarantees import _bounds as bounds
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.guarantees.per_image import limits
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

BOUND = 8.0
TABLES = 200


def table(seed):
    """Pixels with whole scores 0..5 and whole errors 0..8 of n photographs, as maps and as a (n, 7) loss table.

    Column j of the table is the loss once scores below j are trusted.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    scores = rng.integers(0, 6, (n, 3, 4))
    # Errors grow with the score, and photographs differ.
    errors = np.minimum(rng.integers(0, 3, (n, 3, 4)) * (scores + 1) * rng.integers(0, 3, (n, 1, 1)) // 4, 8)
    losses = np.stack([np.where(scores < j, errors, 0).max(axis=(1, 2)) for j in range(7)], axis=1).astype(float)
    curves = [
        RiskCurve.from_maps(s.astype(np.float32), e.astype(np.float32), bound=BOUND)
        for s, e in zip(scores, errors, strict=True)
    ]
    alpha = float(rng.choice([0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0]))
    return rng, CurveSet.from_curves(curves), losses, alpha


def same(threshold, column, losses):
    """Whether a threshold trusts as much as the largest feasible column does, where losses tell columns apart."""
    if column < 0:
        return threshold == -math.inf
    if threshold == -math.inf:
        return False
    ours = 6 if threshold == math.inf else int(threshold)
    return ours >= column and bool((losses[:, ours] == losses[:, column]).all())


@pytest.mark.parametrize("seed", range(TABLES))
def test_expected(seed):
    _, curves, losses, alpha = table(seed)
    found = guarantee("expected").threshold(curves, alpha)

    # riskgate accepts scores >= lambda; its lambda is minus ours. -8 stands for "nothing trusted".
    grid = np.r_[-np.arange(6.0, -1.0, -1.0), np.inf]
    riskgate = -crc_threshold(np.c_[losses[:, ::-1], np.zeros(len(losses))], grid, alpha, bound=BOUND)
    assert same(found, int(riskgate) if riskgate > -math.inf else -1, losses)

    # MAPIE has bound 1 and asks for a strict inequality, so the level is raised past equality.
    levels = np.r_[-np.inf, np.arange(7.0)]
    scaled = np.c_[np.zeros(len(losses)), losses] / BOUND
    mean = get_r_hat_plus(scaled, levels, "crc", None, None, None)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mapie = float(find_best_predict_param(levels, mean, np.array([alpha / BOUND * (1 + 1e-9)]))[0])
    # Where nothing is feasible MAPIE warns and returns an end of its grid.
    if (mean < alpha / BOUND * (1 + 1e-9)).any():
        assert same(found, int(mapie) if mapie > -math.inf else -1, losses)
    else:
        assert found == -math.inf


@pytest.mark.parametrize("seed", range(TABLES))
def test_weighted(seed):
    rng, curves, losses, alpha = table(seed)
    weights, new = rng.integers(1, 9, len(losses)).astype(float), float(rng.integers(1, 9))
    found = guarantee("expected", weights=weights, weight_new=new).threshold(curves, alpha)
    grid = np.r_[-np.arange(6.0, -1.0, -1.0), np.inf]
    table_ = np.c_[losses[:, ::-1], np.zeros(len(losses))]
    theirs = -weighted_crc_threshold(table_, grid, alpha, weights, new, bound=BOUND)
    if weights.sum() ** 2 / (weights**2).sum() < BOUND / alpha - 1:
        # Worth fewer photographs than the level takes: nothing is trusted here, whatever they show.
        assert found == -math.inf
    else:
        assert same(found, int(theirs) if theirs > -math.inf else -1, losses)


@pytest.mark.parametrize("seed", range(TABLES))
def test_high_probability(seed):
    _, curves, losses, alpha = table(seed)
    delta = (0.05, 0.1, 0.3)[seed % 3]
    found = guarantee("high-probability", delta=delta, method="hoeffding-bentkus").threshold(curves, alpha)
    grid = np.r_[-np.arange(6.0, -1.0, -1.0), np.inf]
    scaled = np.c_[losses[:, ::-1], np.zeros(len(losses))] / BOUND
    theirs = -ltt_threshold([scaled], grid, [alpha / BOUND], delta)
    assert same(found, int(theirs) if theirs > -math.inf else -1, losses)


@pytest.mark.parametrize("seed", range(20))
def test_p_values(seed):
    _, _, losses, alpha = table(seed)
    n, level = len(losses), alpha / BOUND
    means = losses.mean(axis=0) / BOUND
    first, second = hb_pvalue(means, n, level), compute_hoeffding_bentkus_p_value(means, n, level)[:, 0]
    for mean, one, other in zip(means, first, second, strict=True):
        total = round(mean * BOUND * n) / BOUND
        for p in (one, other):
            if p < 0.9:
                budget = bounds.hoeffding_bentkus_budget(n, level, p * (1 + 1e-7))
                assert budget is not None
                assert total <= budget + 1e-9
                tighter = bounds.hoeffding_bentkus_budget(n, level, p * (1 - 1e-7))
                assert tighter is None or total > tighter


@pytest.mark.parametrize("seed", range(TABLES))
def test_per_image(seed):
    _, curves, _, _ = table(seed)
    for tolerance in (1.0, 2.0, 3.0):
        s = limits(curves, Fraction(tolerance))
        for delta in (0.05, 0.1, 0.25, 0.5):
            found = guarantee("per-image", delta=delta).threshold(curves, tolerance)
            # 99 stands for "never exceeded".
            finite = np.where(np.isinf(s), 99.0, s)
            theirs = -conformal_quantile(-finite, delta)
            assert found == (math.inf if theirs == 99.0 else theirs)


@pytest.mark.parametrize("seed", range(TABLES))
def test_quantile_of_the_worst_error(seed):
    """The tolerance that a fixed threshold keeps is the split-conformal quantile of the losses there."""
    _, curves, losses, _ = table(seed)
    rule = guarantee("per-image", delta=0.25)
    for column in (2, 4, 6):
        found = rule.risk(curves, float(column))
        regressor = ConformalRegressor().fit(residuals=losses[:, column])
        assert found == regressor.predict_int(np.array([0.0]), confidence=0.75)[0, 1]
        assert found == conformal_quantile(losses[:, column], 0.25)
