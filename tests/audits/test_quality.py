"""PSNR and SSIM of known pictures, inside masks and out, and the bound on the first."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.audits.quality import (
    NO_PIXELS,
    Quality,
    QualityMaps,
    decibels,
    mean_quality,
    peak_signal_to_noise,
    squared_error,
)
from blackbox_conformal.method.guarantees.corollaries import psnr
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.metrics.rgb_l1 import RgbL1
from blackbox_conformal.method.metrics.rgb_linf import RgbLinf


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


@pytest.mark.parametrize("seed", range(4))
def test_maps_asked_for_a_mask_equal_the_pixels_one_by_one(seed):
    truth, delivered = pictures(seed)
    metric = LabL1()
    maps = QualityMaps(truth, delivered, metric)
    mask = np.random.default_rng(seed).random((20, 30)) < (0.02, 0.3, 0.9, 0.5)[seed]
    planes = metric.difference(truth, delivered)
    dissimilar = structural_dissimilarity(truth, delivered)
    squares, in_space, similar, count = 0.0, 0.0, 0.0, 0
    for row in range(20):
        for column in range(30):
            if mask[row, column]:
                pairs = zip(truth[row, column].tolist(), delivered[row, column].tolist(), strict=True)
                squares += sum(((one - other) / 255) ** 2 for one, other in pairs) / 3
                in_space += sum(float(plane[row, column]) ** 2 for plane in planes) / 3
                similar += 1 - 2 * float(dissimilar[row, column])
                count += 1
    found = maps.over(mask)
    assert found.psnr == pytest.approx(-10 * math.log10(squares / count), abs=1e-9)
    assert found.psnr_in_space == pytest.approx(-10 * math.log10(in_space / count), abs=1e-6)
    assert found.ssim == pytest.approx(similar / count, abs=1e-9)
    assert maps.over(np.ones_like(mask)) == maps.over()
    assert found.psnr == pytest.approx(peak_signal_to_noise(truth, delivered, mask))


def test_no_pixels_have_no_quality_and_equal_pictures_the_best():
    truth, delivered = pictures()
    nothing = QualityMaps(truth, delivered, RgbLinf()).over(np.zeros((20, 30), bool))
    assert nothing is NO_PIXELS
    assert all(map(math.isnan, (nothing.psnr, nothing.psnr_in_space, nothing.ssim)))
    same = QualityMaps(truth, truth, RgbLinf()).over()
    assert same == Quality(math.inf, math.inf, 1.0)


@pytest.mark.parametrize("metric", [None, RgbL1(kernel="gaussian", sigma=2)])
def test_a_metric_that_bounds_no_error_of_a_pixel_has_no_space(metric):
    assert math.isnan(QualityMaps(*pictures(), metric).over().psnr_in_space)


def test_means_are_over_the_pictures_that_have_pixels():
    found = [Quality(20, math.nan, 0.5), NO_PIXELS, Quality(30, 12, 0.9)]
    assert mean_quality(found) == Quality(25, 12, pytest.approx(0.7))
    assert mean_quality(found, [1, 5, 3]) == Quality(pytest.approx(27.5), 12, pytest.approx(0.8))
    assert all(map(math.isnan, (mean_quality([NO_PIXELS]).psnr, mean_quality([NO_PIXELS]).ssim)))
    assert (decibels(1.0), decibels(0.01), decibels(0)) == (0, 20, math.inf)
    assert math.isnan(decibels(math.nan))
