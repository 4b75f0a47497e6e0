"""The mean over squares of the largest trusted error: thresholds by brute force, words, a run from end to end."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from naive.largest_in_squares import mean_largest
from support.audit_material import calibration_of, curves
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.corollaries import psnr, statement
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.guarantees.instance_bound import bound_curve
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support import catalog
from blackbox_conformal.testing.fault_server import FaultServer

Maps = tuple[np.ndarray, np.ndarray]


def maps(rng: np.random.Generator) -> Maps:
    """Tied scores, and errors of which every mean over squares of 3 pixels (of 6 x 9) lies on the grid of 4096."""
    scores = rng.integers(0, 5, (6, 9)).astype(np.float32)
    return scores, (6 * np.floor(scores / 5 * rng.random((6, 9)) * 680) / 4096).astype(np.float32)


def lost(one: Maps, t: float, side: int = 3) -> float:
    return float(mean_largest(one[0].tolist(), one[1].tolist(), side, t))


def test_the_threshold_is_the_largest_that_the_definition_allows() -> None:
    every = [maps(np.random.default_rng(seed)) for seed in range(30)]
    found = [RiskCurve.from_maps(*one, bound=1.0, side=3) for one in every]
    seen = set()
    for alpha in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6):
        chosen = threshold(found, alpha, "local", side=3)
        steps = (0.0, 1.0, 2.0, 3.0, 4.0, math.inf)
        feasible = [t for t in steps if sum(lost(one, t) for one in every) + 1 <= alpha * 31]
        assert chosen == max(feasible, default=-math.inf)
        seen.add(chosen)
        # No mean over squares exceeds the largest error of all.
        assert chosen >= threshold([RiskCurve.from_maps(*one, bound=1.0) for one in every], alpha)
    assert len(seen) > 2


def test_one_square_of_the_whole_picture_is_the_largest_error_and_squares_of_a_pixel_are_a_mean() -> None:
    scores, errors = maps(np.random.default_rng(1))
    whole = RiskCurve.from_maps(scores, errors, bound=1.0, side=64)
    single = RiskCurve.from_maps(scores, errors, bound=1.0, side=1)
    for t in (-math.inf, 0.0, 0.5, 1.5, 3.0, math.inf):
        assert whole.loss(t) == RiskCurve.from_maps(scores, errors, bound=1.0).loss(t)
        exact = float(np.where(scores < t, errors, 0).astype(float).mean())
        assert exact <= single.loss(t) <= exact + 1 / 4096 + 1e-9


def test_curves_for_another_side_or_of_another_kind_are_refused() -> None:
    of_sides = {side: local_curves(0, 24, side) for side in (3, 4)}
    for material in (curves(0, 9), curves(0, 9, left_out=0.02)):
        with pytest.raises(CalibrationError, match="expected local curves"):
            guarantee("local", side=3).threshold(material, 0.5)
    with pytest.raises(CalibrationError, match=r"side 3; these were made with 4\. .*--guarantee local:side="):
        guarantee("local", side=3).threshold(of_sides[4], 0.5)
    calibration = calibration_of(curves(0, 24), local=[list(of_sides[4])])
    assert calibration.threshold(0.5, "local", side=4) > -math.inf
    assert calibration.threshold(0.5, "per-image", of="local", side=4, delta=0.2) > -math.inf
    with pytest.raises(CalibrationError, match=r"for this side: 4; asked for 3\. .*local:side=3: .*no call is made"):
        calibration.threshold(0.5, "local", side=3)
    packed = CurveSet.from_bytes(of_sides[3].to_bytes())
    assert (packed.kind, packed.side, list(packed)) == ("local", 3, list(of_sides[3]))
    with pytest.raises(UsageError, match="side"):
        guarantee("local", side=0)


def local_curves(seed: int, count: int, side: int) -> CurveSet:
    rng = np.random.default_rng(seed)
    return CurveSet.from_curves([RiskCurve.from_maps(*maps(rng), bound=1.0, side=side) for _ in range(count)])


def test_a_map_above_the_errors_bounds_the_loss_of_the_same_kind() -> None:
    for seed in range(20):
        scores, errors = maps(np.random.default_rng(seed))
        above = bound_curve(scores, errors + np.float32(1e-4), 1.0, side=3)
        own = RiskCurve.from_maps(scores, errors, bound=1.0, side=3)
        at = np.linspace(-1, 6, 99)
        assert (own.loss(at) <= above.loss(at)).all()
        assert above.loss(math.inf) <= own.loss(math.inf) + 0.001


def test_it_says_what_it_averages_and_no_quality_follows() -> None:
    rule = guarantee("local", side=64)
    said = statement(rule, 0.1, 50, {"name": "lab-l1", "cap": 0.5})
    assert said.startswith(
        "On average over new photographs, the largest lab-l1 error among the trusted pixels of a square of 64×64 "
        "pixels, averaged over the squares of a picture, is at most 0.1 (calibrated on 50 photographs). "
    )
    assert "Single squares may be far worse" in said
    assert "Errors above 0.5 count as 0.5" in said
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
    assert bc.plan(vendor, 9, guarantee="local", draws=2, metric="rgb-linf").needed_n["0.1"] == 9
    made = bc.calibrate(vendor, photographs, guarantee="local:side=8", alpha=0.3, **choices)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    assert [each.side for each in calibration.local] == [8]
    assert calibration.threshold(0.3) == made.threshold(0.3) >= made.threshold(0.3, "expected")
    found = bc.mask(vendor, photograph(20)[::2, ::2].copy(), calibration, 0.3, **terms)
    assert "of a square of 8×8 pixels" in found.certificate.statement
    assert contradictions(found.certificate, calibration) == []
    audit = bc.audit(vendor, write_photographs(tmp_path / "audit", range(30, 36)), calibration, [0.3], **terms)
    assert "the mean over photographs of the largest" in audit.quantity
    assert audit.pictures[0].curve.kind == "local"
    plain = bc.calibrate(vendor, photographs, **choices)
    assert plain.local == ()
    page = bc.report(tmp_path / "run", calibration=calibration, out=tmp_path / "report.html", audit=audit)
    assert "averaged over the squares of a picture" in page.read_text(encoding="utf-8")
