"""The two earlier methods: against plain loops, and each keeps the claim it does make."""

import warnings

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.study.choose import comparison
from blackbox_conformal.study.choose.comparison import SCALES


def draws(seed, count, shape=(9, 11, 3)):
    rng = np.random.default_rng(seed)
    base = rng.integers(40, 216, shape)
    return [np.clip(base + rng.integers(-9, 10, shape), 0, 255).astype(np.uint8) for _ in range(count)], base


@pytest.mark.parametrize("count", [2, 8, 41])
def test_intervals_reach_from_the_low_to_the_high_draws(count):
    pictures, base = draws(count, count)
    truth = np.clip(base + 12, 0, 255).astype(np.uint8)
    found = comparison.intervals(pictures, pictures[0], truth)
    cut = int(0.05 * (count - 1))
    needed = []
    for row in range(9):
        for column in range(11):
            widths = 0.0
            for channel in range(3):
                values = sorted(int(one[row, column, channel]) for one in pictures)
                centre = int(pictures[0][row, column, channel])
                below = max(centre - values[cut], 0) / 255 + 0.5 / 255
                above = max(values[-1 - cut] - centre, 0) / 255 + 0.5 / 255
                error = (int(truth[row, column, channel]) - centre) / 255
                needed.append(-error / below if error < 0 else error / above)
                widths += max(below, above)
            assert found.width[row, column] == pytest.approx(widths, rel=1e-5)
    assert found.ratios[-1] == pytest.approx(max(needed), rel=1e-5)
    for scale in (0.5, 1.0, 2.0):
        assert (found.ratios > scale).sum() / 1024 >= np.mean(np.array(needed) > scale) - 1e-3


def test_scaled_intervals_cover_new_photographs():
    """With confidence 0.9 over calibrations, 90 % of colour values are covered: 6 of 60 may fail, and 3 errors more."""
    failures = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        ratios = [np.sort(rng.gamma(1, rng.uniform(0.5, 2), 1025)).astype(np.float32) for _ in range(60)]
        scale = comparison.interval_scale(ratios)
        missed = np.mean([np.exp(-scale / spread) for spread in np.linspace(0.5, 2, 400)])
        failures += missed > comparison.MISCOVERAGE
        assert np.isfinite(scale)
    assert failures <= 6 + 3 * (60 * 0.1 * 0.9) ** 0.5


def test_no_scale_where_photographs_are_too_few():
    assert comparison.interval_scale([np.ones(1025, np.float32)] * 3) == float("inf")


def test_soft_masks_and_their_errors_by_plain_loops():
    rng = np.random.default_rng(0)
    score_map = (rng.random((7, 5)) ** 3).astype(np.float32)
    score_map[0, :2] = 0
    errors = rng.random((7, 5)).astype(np.float32)
    with warnings.catch_warnings(action="error"):
        found = comparison.soft_errors(score_map, 50 * errors) / 50
    assert (np.diff(found) >= -1e-12).all()
    for index in (0, 20, 50, 70, len(SCALES) - 1):
        mask = comparison.soft_mask(score_map, SCALES[index])
        expected = np.mean(
            [
                (1.0 if score <= SCALES[index] else SCALES[index] / score) * error
                for score, error in zip(score_map.ravel().tolist(), errors.ravel().tolist(), strict=True)
            ]
        )
        assert found[index] == pytest.approx(expected, rel=1e-6)
        assert np.mean(mask * errors) == pytest.approx(expected, rel=1e-5)
    assert not comparison.soft_mask(score_map, 0.0)[score_map > 0].any()


def test_soft_scale_leaves_one_picture_in_ten_out():
    errors = [np.linspace(0, 1, len(SCALES)) * (1 + index / 10) for index in range(19)]
    scale = comparison.soft_scale(errors, 0.5)
    borne = [one[list(SCALES).index(scale)] <= 0.5 for one in errors]
    assert sum(borne) == 18
    assert comparison.soft_scale(errors[:8], 0.5) == 0.0, "eight photographs are too few for nine in ten"


def test_a_soft_mask_keeps_its_mean_and_fully_trusts_errors_above_alpha_where_a_trust_mask_does_not():
    """Adame, Csillag and Goedert (2025), Example B.1: a bound of the masked mean is none of what is trusted."""
    rng, alpha, side, n = np.random.default_rng(5), 0.1, 16, 200
    scores = rng.uniform(0.1, 1, (2 * n, side, side)).astype(np.float32)
    # Right almost everywhere, and wholly wrong in one pixel of the surer half.
    errors = np.zeros_like(scores)
    for place in range(2 * n):
        sure = np.flatnonzero(scores[place] < 0.55)
        errors[place].flat[rng.choice(sure)] = 1
    scale = comparison.soft_scale(
        [comparison.soft_errors(*pair) for pair in zip(scores[:n], errors[:n], strict=True)], alpha
    )
    curves = CurveSet.from_curves(
        [RiskCurve.from_maps(*pair, bound=1.0) for pair in zip(scores[:n], errors[:n], strict=True)]
    )
    threshold = Expected().threshold(curves, alpha)
    kept, trusted_wrong, risk = [], [], []
    for score, error in zip(scores[n:], errors[n:], strict=True):
        mask = comparison.soft_mask(score, scale)
        kept.append((mask * error).mean() <= alpha)
        trusted_wrong.append(error[mask >= 1].max(initial=0))
        risk.append(error[trusted(score, threshold)].max(initial=0))
    assert np.mean(kept) >= 0.9
    assert np.mean(trusted_wrong) > 9 * alpha
    assert np.mean(risk) <= alpha + 3 * np.std(risk) / np.sqrt(n)
    assert 0 < np.mean([trusted(score, threshold).mean() for score in scores[n:]]) < 0.5


def test_labels_promise_nothing():
    assert comparison.INTERVAL_LABEL.startswith("no guarantee")
    assert comparison.SOFT_LABEL.startswith("no guarantee")
