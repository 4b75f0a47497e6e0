"""PSNR of known pictures, inside masks and out, and the bound on it."""

import math

import numpy as np
import pytest

from blackbox_conformal.audit.quality import peak_signal_to_noise, squared_error
from blackbox_conformal.fidelity.rgb_l1 import RgbL1
from blackbox_conformal.fidelity.rgb_linf import RgbLinf
from blackbox_conformal.guarantees.choose import guarantee
from blackbox_conformal.guarantees.corollaries import psnr


def pictures(seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    delivered = np.clip(truth + rng.integers(-40, 41, truth.shape), 0, 255).astype(np.uint8)
    return truth, delivered


def test_known_errors():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert peak_signal_to_noise(black, white) == 0
    assert peak_signal_to_noise(white, black) == 0
    assert peak_signal_to_noise(black, black) == math.inf
    assert squared_error(black, np.full_like(black, 51)) == pytest.approx(0.04)
    assert peak_signal_to_noise(black, np.full_like(black, 51)) == pytest.approx(13.979400)


def test_mask_picks_its_pixels():
    truth, delivered = pictures()
    mask = np.zeros((20, 30), bool)
    assert math.isnan(peak_signal_to_noise(truth, delivered, mask))
    mask[3:9, 4:20] = True
    expected = np.mean(((truth[mask].astype(float) - delivered[mask]) / 255) ** 2)
    assert squared_error(truth, delivered, mask) == pytest.approx(expected)
    assert squared_error(truth, delivered, ~np.zeros_like(mask)) == pytest.approx(squared_error(truth, delivered))


@pytest.mark.parametrize("metric", [RgbLinf(), RgbL1()])
def test_pointwise_metrics_bound_the_psnr_of_every_mask(metric):
    truth, delivered = pictures(1)
    errors = metric.map(truth, delivered)
    for tolerance in (0.05, 0.1, 0.2):
        mask = errors <= tolerance
        bound = psnr(guarantee("expected"), tolerance, metric).decibels
        assert mask.any()
        assert peak_signal_to_noise(truth, delivered, mask) >= bound - 1e-9
