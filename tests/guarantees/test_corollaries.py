import math
from typing import ClassVar

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.corollaries import leaked_level, level_given_trust, psnr
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.metrics.metric import Metric


class Pointwise(Metric):
    pointwise_root_mean_square: ClassVar[bool] = True
    space: ClassVar[str] = "normalised Lab"


class Summed(Pointwise):
    sums_channels: ClassVar[bool] = True


def test_the_psnr_bound_and_its_three_channel_form():
    rule = guarantee("expected")
    assert psnr(rule, 0.1, Pointwise()).decibels == pytest.approx(20)
    assert psnr(rule, 0.1, Summed()).decibels == pytest.approx(24.771, abs=1e-3)
    assert "in normalised Lab with peak 1 is at least 20.00 dB" in psnr(rule, 0.1, Pointwise()).statement


def test_both_forms_hold_for_random_errors_and_the_second_is_tight():
    rng = np.random.default_rng(14)
    differences = rng.normal(0, 0.1, (50, 400, 3)) * (rng.random((50, 400, 3)) < 0.3)
    suprema = np.abs(differences).sum(axis=2).max(axis=1)
    realised = -10 * np.log10((differences**2).mean(axis=(1, 2)))
    bound = psnr(guarantee("expected"), float(suprema.mean()), Summed())
    assert realised.mean() >= bound.decibels
    # One channel carries all of one error everywhere: equality.
    error = np.zeros((10, 3))
    error[:, 0] = 0.2
    exact = psnr(guarantee("expected"), 0.2, Summed())
    assert -10 * math.log10((error**2).mean()) == pytest.approx(exact.decibels)


@pytest.mark.parametrize(
    ("rule", "metric", "alpha", "message"),
    [
        ("expected", Metric(), 0.1, "averaged over"),
        ("false-trust", Pointwise(), 0.1, "share of wrong pixels"),
        ("per-image", Pointwise(), 0.0, "above 0"),
    ],
)
def test_a_premise_that_is_not_true_is_refused(rule, metric, alpha, message):
    with pytest.raises(UsageError, match=message):
        psnr(guarantee(rule), alpha, metric)


def test_what_leakage_would_do():
    assert leaked_level(0.1, 100, 0) == 0.1
    assert leaked_level(1.0, 100, 10) == pytest.approx(1.11, abs=0.001)
    assert leaked_level(1.0, 100, 50) == pytest.approx(1.98, abs=0.001)
    with pytest.raises(UsageError, match="0 to 5"):
        leaked_level(0.1, 5, 6)


def test_the_level_over_masks_that_are_not_empty():
    assert level_given_trust(0.1, 0.5) == 0.2
    with pytest.raises(UsageError, match="share"):
        level_given_trust(0.1, 0.0)
