"""What a guarantee promises of PSNR and SSIM inside the mask: kept in simulations, refused where nothing follows."""

import math

import numpy as np
import pytest
from support.audit_material import alike

from blackbox_conformal.method.audits.quality import QualityMaps, mean_quality, promise
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.metrics.rgb_linf import RgbLinf
from blackbox_conformal.method.metrics.ssim import Ssim
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted


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


@pytest.mark.parametrize("alpha", [0.15, 0.25])
def test_the_promised_psnr_is_kept_on_average(alpha):
    """The mean is over photographs whose mask shows anything: 30 simulations, each against its own promise."""
    gaps = []
    for seed in range(30):
        found, shown = measured(RgbLinf(), alpha, seed)
        if shown:
            said = promise(Expected(), alpha, RgbLinf(), shown)
            assert said.psnr_if_trusted <= said.psnr
            gaps.append(found.psnr_in_space - said.psnr_if_trusted)
    assert len(gaps) >= 25
    assert np.mean(gaps) >= -3 * np.std(gaps) / len(gaps) ** 0.5
    assert np.mean(gaps) < 15, "a promise that far from the truth would test nothing"


def test_the_promised_ssim_is_kept_on_average():
    gaps = []
    for seed in range(20):
        found, shown = measured(Ssim(), 0.2, seed)
        if shown:
            said = promise(Expected(), 0.2, Ssim(), shown)
            assert said.ssim == pytest.approx(0.6)
            gaps.append(found.ssim - said.ssim_if_trusted)
    assert len(gaps) >= 15
    assert np.mean(gaps) >= -3 * np.std(gaps) / len(gaps) ** 0.5
    assert np.mean(gaps) < 0.5


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
