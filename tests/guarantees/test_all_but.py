"""The largest trusted error but for a share of the picture: thresholds by brute force, words, a run from end to end."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from naive.left_out_share import largest_but
from support.audit_material import calibration_of, curves
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.corollaries import psnr, statement
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.guarantees.instance_bound import bound_curve
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support import catalog
from blackbox_conformal.testing.fault_server import FaultServer


def maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tied scores, and errors on the grid of 4096 levels, so that nothing is rounded; one pixel is wildly wrong."""
    scores = rng.integers(0, 5, (6, 10)).astype(np.float32)
    errors = np.floor(scores / 5 * rng.random((6, 10)) * 2048) / 4096
    errors[rng.integers(6), rng.integers(10)] = 1
    return scores, errors.astype(np.float32)


def test_the_threshold_is_the_largest_that_the_definition_allows() -> None:
    pairs = [maps(np.random.default_rng(seed)) for seed in range(30)]
    found = [RiskCurve.from_maps(*pair, bound=1.0, left_out=0.05) for pair in pairs]
    seen = set()
    for alpha in (0.05, 0.1, 0.2, 0.3, 0.4):
        chosen = threshold(found, alpha, "all-but", share=0.05)
        feasible = [
            t
            for t in (0.0, 1.0, 2.0, 3.0, 4.0, math.inf)
            if sum(largest_but(*pair, 3, t) for pair in pairs) + 1 <= alpha * 31
        ]
        assert chosen == max(feasible, default=-math.inf)
        seen.add(chosen)
    assert len(seen) > 2
    # The pixel that is wildly wrong decides of all errors, and of none when three pixels are left out.
    assert threshold([RiskCurve.from_maps(*pair, bound=1.0) for pair in pairs], 0.2) < threshold(
        found, 0.2, "all-but", share=0.05
    )


def test_the_share_is_counted_as_it_was_typed() -> None:
    """In binary, 0.29 of 100 pixels are fewer than 29."""
    scores, errors = np.zeros((10, 10), np.float32), np.zeros((10, 10), np.float32)
    errors.flat[:29] = 1
    assert RiskCurve.from_maps(scores, errors, bound=1.0, left_out=0.29).loss(math.inf) == 0
    errors.flat[29] = 1
    assert RiskCurve.from_maps(scores, errors, bound=1.0, left_out=0.29).loss(math.inf) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="share"):
        guarantee("all-but", share=share)
    with pytest.raises(CalibrationError, match="share to leave out between 0 and 1"):
        RiskCurve.from_maps(np.zeros((2, 2)), np.zeros((2, 2)), bound=1.0, left_out=share)


def test_curves_for_another_share_or_of_another_kind_are_refused() -> None:
    for material in (curves(0, 9), curves(0, 9, tolerance=0.1), curves(0, 9, left_out=0.02)):
        with pytest.raises(CalibrationError, match="all-but"):
            guarantee("all-but", share=0.05).threshold(material, 0.5)
    with pytest.raises(CalibrationError, match="expected supremum curves"):
        guarantee("expected").threshold(curves(0, 9, left_out=0.05), 0.5)
    calibration = calibration_of(curves(0, 24), all_but=[list(curves(0, 24, left_out=0.02))])
    assert calibration.threshold(0.5, "all-but", share=0.02) > -math.inf
    with pytest.raises(CalibrationError, match=r"stored for this share: 0\.02; asked for 0\.05.*no call is made"):
        calibration.threshold(0.5, "all-but", share=0.05)


def test_a_map_above_the_errors_bounds_the_loss_of_the_same_kind() -> None:
    for seed in range(20):
        scores, errors = maps(np.random.default_rng(seed))
        errors = errors * np.float32(0.8)
        above = bound_curve(scores, errors + np.float32(1e-4), 1.0, 0.05)
        own = RiskCurve.from_maps(scores, errors, bound=1.0, left_out=0.05)
        at = np.linspace(-1, 6, 99)
        assert (own.loss(at) <= above.loss(at)).all()
        assert above.loss(math.inf) < 0.5, "the pixel that is wildly wrong is left out of the bound, too"


def test_it_says_what_it_leaves_out_and_no_quality_follows() -> None:
    rule = guarantee("all-but", share=0.01)
    said = statement(rule, 0.1, 50, {"name": "lab-l1", "cap": 0.5})
    assert "the largest lab-l1 error among trusted pixels is at most 0.1 when the worst of them, 1 % of" in said
    assert "Errors above 0.5 count as 0.5" in said
    assert "Nothing is said of the pixels left out" in said
    assert rule.minimum_images(0.1, 0.5) == 4
    with pytest.raises(UsageError, match="how wrong those pixels are"):
        psnr(rule, 0.1, catalog.load("metrics", "lab-l1"))


@pytest.fixture(scope="module")
def vendor() -> Iterator[bc.Adapter]:
    with FaultServer() as server:
        yield load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=server.url)


def test_it_is_calibrated_stored_applied_audited_and_reported(vendor: bc.Adapter, tmp_path: Path) -> None:
    terms = {"run": tmp_path / "run", "max_cost": 1}
    photographs = write_photographs(tmp_path / "photographs", range(9))
    choices = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf", **terms}
    assert bc.plan(vendor, 9, guarantee="all-but", draws=2, metric="rgb-linf").needed_n["0.1"] == 9
    made = bc.calibrate(vendor, photographs, guarantee="all-but:share=0.05", alpha=0.3, **choices)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    assert [each.left_out for each in calibration.all_but] == [0.05]
    assert calibration.threshold(0.3) == made.threshold(0.3)
    found = bc.mask(vendor, photograph(20)[::2, ::2].copy(), calibration, 0.3, **terms)
    assert "5 % of the whole picture, are left out" in found.certificate.statement
    assert contradictions(found.certificate, calibration) == []
    audit = bc.audit(vendor, write_photographs(tmp_path / "audit", range(30, 36)), calibration, [0.3], **terms)
    assert "when the worst of them, 5 % of the picture, are left out" in audit.quantity
    assert audit.pictures[0].curve.kind == "all-but"
    plain = bc.calibrate(vendor, photographs, **choices)
    assert plain.all_but == ()
    for at in plain.curves.scores.astype(float):
        assert (calibration.all_but[0].losses_at(at) <= plain.curves.losses_at(at) + 1 / 4096 + 1e-6).all()
    page = bc.report(tmp_path / "run", calibration=calibration, out=tmp_path / "report.html", audit=audit)
    assert "5 % of the picture, are left out" in page.read_text(encoding="utf-8")
