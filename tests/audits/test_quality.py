"""PSNR and SSIM of known pictures, inside masks and out, and the bound on the first."""

import itertools
import math

import numpy as np
import pytest
from support.audit_material import alike

from blackbox_conformal.method.audits.quality import (
    NO_PIXELS,
    Quality,
    QualityMaps,
    chance_of_misses,
    decibels,
    mean_quality,
    peak_signal_to_noise,
    promise,
    quality_blocks,
    quality_misses,
    squared_error,
)
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.corollaries import psnr
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.metrics.rgb_l1 import RgbL1
from blackbox_conformal.method.metrics.rgb_linf import RgbLinf
from blackbox_conformal.method.metrics.ssim import Ssim
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.method.risk.whole_errors import WholeErrors


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


def calibrated(n: int) -> WholeErrors:
    """Ratios of 1/n, 2/n, ..., 1 in each measure."""
    known = np.full((n, 3), 0.25)
    return WholeErrors(np.stack([2 * known * (np.arange(n)[:, None] + 1) / n, known], axis=1))


@pytest.mark.parametrize(("n", "m", "claimed"), [(3, 3, 0.25), (4, 3, 0.5), (5, 2, 0.34)])
def test_chances_are_those_of_all_orders(n: int, m: int, claimed: float) -> None:
    k = int(claimed * (n + 1))
    counts = []
    for order in itertools.permutations(range(n + m)):
        limit = sorted(order[:n])[-k]
        counts.append(sum(value > limit for value in order[n:]))
    for misses in range(m + 1):
        expected = np.mean(np.array(counts) >= misses)
        assert chance_of_misses(n, m, misses, claimed) == pytest.approx(expected)


def test_misses_are_counted_and_told() -> None:
    ratios = [[0.5, 0.9, 2.0]] * 15 + [[1.5, 0.9, 2.0]] * 5
    psnr, ssim, metric = found = quality_misses(calibrated(19), ratios, 0.1, fixed=True)
    assert [one.misses for one in found] == [5, 0, 20]
    assert psnr.interval[0] < 0.25 < psnr.interval[1]
    assert (ssim.p_value, metric.p_value < 1e-3) == (1.0, True)
    (said, table) = quality_blocks(found)
    assert said.text.startswith("Of 20 photographs 20 have a mean error worse than certified; of photographs like")
    assert [row["misses"] for row in table.rows] == [5, 0, 20]


def test_nothing_is_said_of_what_is_not_certified_and_no_chance_of_a_number_that_results_decided() -> None:
    assert quality_misses(calibrated(8), [[2.0] * 3] * 9, 0.1, fixed=True) == ()
    assert [block.content for block in quality_blocks(())] == [{"quality": []}]
    assert quality_misses(calibrated(19), [[2.0] * 3] * 9, 0.1, fixed=False)[0].p_value is None


def material(seed, count, metric):
    """(score map, error map, qualities) of made-up photographs whose noise grows from left to right."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        truth = rng.integers(60, 200, (12, 16, 3), dtype=np.uint8)
        strength = np.linspace(0, rng.uniform(10, 60), 16)[None, :, None]
        delivered = np.clip(truth + rng.normal(0, 1, truth.shape) * strength, 0, 255).astype(np.uint8)
        scores = (strength[..., 0] / 60 + rng.uniform(0, 0.3, (12, 16))).astype(np.float32)
        found.append((scores, metric.map(truth, delivered), QualityMaps(truth, delivered, metric)))
    return found


def measured(metric, alpha, seed):
    """The qualities inside the masks of 40 unseen photographs, and the share of masks that show anything."""
    photographs = material(seed, 80, metric)
    known = [RiskCurve.from_maps(s, e, bound=metric.bound) for s, e, _ in photographs[:40]]
    threshold = Expected().threshold(CurveSet.from_curves(known), alpha)
    masks = [trusted(scores, threshold) for scores, _, _ in photographs[40:]]
    inside = [quality.over(mask) for (_, _, quality), mask in zip(photographs[40:], masks, strict=True)]
    return mean_quality(inside), float(np.mean([mask.any() for mask in masks]))


@pytest.mark.parametrize(
    ("metric", "alpha", "runs", "far"), [(RgbLinf(), 0.15, 30, 15), (RgbLinf(), 0.25, 30, 15), (Ssim(), 0.2, 20, 0.5)]
)
def test_the_promised_quality_is_kept_on_average(metric, alpha, runs, far):
    """The mean is over photographs whose mask shows anything: simulations, each against its own promise."""
    gaps = []
    for seed in range(runs):
        found, shown = measured(metric, alpha, seed)
        if shown:
            said = promise(Expected(), alpha, metric, shown)
            if isinstance(metric, Ssim):
                assert said.ssim == pytest.approx(0.6)
                gaps.append(found.ssim - said.ssim_if_trusted)
            else:
                assert said.psnr_if_trusted <= said.psnr
                gaps.append(found.psnr_in_space - said.psnr_if_trusted)
    assert len(gaps) >= runs - 5
    assert np.mean(gaps) >= -3 * np.std(gaps) / len(gaps) ** 0.5
    assert np.mean(gaps) < far, "a promise that far from the truth would test nothing"


def test_empty_masks_weaken_what_is_promised_of_the_others():
    all_shown, half_shown = (promise(Expected(), 0.1, RgbLinf(), share) for share in (1.0, 0.5))
    assert all_shown.psnr == half_shown.psnr == all_shown.psnr_if_trusted == pytest.approx(20.0)
    assert half_shown.psnr_if_trusted == pytest.approx(20 - 20 * math.log10(2))
    assert promise(Expected(), 0.1, RgbLinf(), 0.0).psnr_if_trusted == pytest.approx(20.0)
    assert "alpha is divided by their share" in half_shown.words
    similar = promise(Expected(), 0.1, Ssim(), 0.5)
    assert (similar.ssim, similar.ssim_if_trusted) == (pytest.approx(0.8), pytest.approx(0.6))


def test_a_sum_over_channels_gives_477_decibels_more():
    assert promise(Expected(), 0.1, LabL1(), 1.0).psnr == pytest.approx(20 + 10 * math.log10(3))
    assert "Lab" in promise(Expected(), 0.1, LabL1(), 1.0).words


def test_per_image_promises_to_each_photograph():
    found = promise(PerImage(delta=0.1), 0.1, RgbLinf(), 0.25)
    assert found.psnr_if_trusted == found.psnr == pytest.approx(20.0)
    assert found.words == "PSNR over trusted pixels in sRGB with peak 1, in each of at least 90 % of photographs"
    assert "divided" not in found.words


def test_groups_and_tiles_promise_what_is_within():
    inner = promise(Expected(), 0.1, RgbLinf(), 0.5)
    assert alike(promise(ByGroup(groups=("a",), group_new="a"), 0.1, RgbLinf(), 0.5), inner)
    each = promise(PerImage(delta=0.2), 0.1, RgbLinf(), 0.5)
    rule = ByGroup(of="per-image", parameters={"delta": 0.2}, groups=("a",), group_new="a")
    assert alike(promise(rule, 0.1, RgbLinf(), 0.5), each)


@pytest.mark.parametrize(
    ("rule", "metric"),
    [
        (Expected(), LabL1(kernel="gaussian", sigma=4)),
        (Expected(), Ssim(kernel="gaussian", sigma=4)),
        (FalseTrust(), RgbLinf()),
        (FalseTrust(), Ssim()),
        (ByCluster(of="false-trust", clusters=("a",)), RgbLinf()),
    ],
)
def test_nothing_is_promised_where_nothing_follows(rule, metric):
    found = promise(rule, 0.1, metric, 1.0)
    assert all(map(math.isnan, (found.psnr, found.psnr_if_trusted, found.ssim, found.ssim_if_trusted)))
    assert found.words.startswith("no PSNR or SSIM follows")
