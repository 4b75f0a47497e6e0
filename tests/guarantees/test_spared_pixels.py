"""All but a share of the picture, and the mean over squares: thresholds by brute force, words, runs from end to end."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from naive.largest_in_squares import mean_largest
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
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support import catalog
from blackbox_conformal.testing.fault_server import FaultServer

Maps = tuple[np.ndarray, np.ndarray]


def maps_with_an_outlier(rng: np.random.Generator) -> Maps:
    """Tied scores, and errors on the grid of 4096 levels, so that nothing is rounded; one pixel is wildly wrong."""
    scores = rng.integers(0, 5, (6, 10)).astype(np.float32)
    errors = np.floor(scores / 5 * rng.random((6, 10)) * 2048) / 4096
    errors[rng.integers(6), rng.integers(10)] = 1
    return scores, errors.astype(np.float32)


def maps_in_squares(rng: np.random.Generator) -> Maps:
    """Tied scores, and errors of which every mean over squares of 3 pixels (of 6 x 9) lies on the grid of 4096."""
    scores = rng.integers(0, 5, (6, 9)).astype(np.float32)
    return scores, (6 * np.floor(scores / 5 * rng.random((6, 9)) * 680) / 4096).astype(np.float32)


class Case(NamedTuple):
    """A guarantee, what its curves are made with, the maps it is tried on, and its loss by its definition."""

    name: str
    parameters: dict[str, Any]
    made: dict[str, Any]
    maps: Callable[[np.random.Generator], Maps]
    loss: Callable[[Maps, float], float]


ALL_BUT = Case(
    "all-but", {"share": 0.05}, {"left_out": 0.05}, maps_with_an_outlier, lambda one, t: largest_but(*one, 3, t)
)
LOCAL = Case(
    "local",
    {"side": 3},
    {"side": 3},
    maps_in_squares,
    lambda one, t: float(mean_largest(one[0].tolist(), one[1].tolist(), 3, t)),
)
both = pytest.mark.parametrize("case", [ALL_BUT, LOCAL], ids=lambda case: case.name)


@both
def test_the_threshold_is_the_largest_that_the_definition_allows(case: Case) -> None:
    every = [case.maps(np.random.default_rng(seed)) for seed in range(30)]
    found = [RiskCurve.from_maps(*one, bound=1.0, **case.made) for one in every]
    plain = [RiskCurve.from_maps(*one, bound=1.0) for one in every]
    seen = set()
    for alpha in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6):
        chosen = threshold(found, alpha, case.name, **case.parameters)
        steps = (0.0, 1.0, 2.0, 3.0, 4.0, math.inf)
        feasible = [t for t in steps if sum(case.loss(one, t) for one in every) + 1 <= alpha * 31]
        assert chosen == max(feasible, default=-math.inf)
        seen.add(chosen)
        assert chosen >= threshold(plain, alpha), "no loss exceeds the largest error of all"
    assert len(seen) > 2
    if case is ALL_BUT:
        # The pixel that is wildly wrong decides of all errors, and of none when three pixels are left out.
        assert threshold(plain, 0.2) < threshold(found, 0.2, "all-but", share=0.05)


def test_the_share_is_counted_as_it_was_typed() -> None:
    """In binary, 0.29 of 100 pixels are fewer than 29."""
    scores, errors = np.zeros((10, 10), np.float32), np.zeros((10, 10), np.float32)
    errors.flat[:29] = 1
    assert RiskCurve.from_maps(scores, errors, bound=1.0, left_out=0.29).loss(math.inf) == 0
    errors.flat[29] = 1
    assert RiskCurve.from_maps(scores, errors, bound=1.0, left_out=0.29).loss(math.inf) == 1


def test_one_square_of_the_whole_picture_is_the_largest_error_and_squares_of_a_pixel_are_a_mean() -> None:
    scores, errors = maps_in_squares(np.random.default_rng(1))
    whole = RiskCurve.from_maps(scores, errors, bound=1.0, side=64)
    single = RiskCurve.from_maps(scores, errors, bound=1.0, side=1)
    for t in (-math.inf, 0.0, 0.5, 1.5, 3.0, math.inf):
        assert whole.loss(t) == RiskCurve.from_maps(scores, errors, bound=1.0).loss(t)
        exact = float(np.where(scores < t, errors, 0).astype(float).mean())
        assert exact <= single.loss(t) <= exact + 1 / 4096 + 1e-9


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_a_share_or_side_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="share"):
        guarantee("all-but", share=share)
    with pytest.raises(CalibrationError, match="share to leave out between 0 and 1"):
        RiskCurve.from_maps(np.zeros((2, 2)), np.zeros((2, 2)), bound=1.0, left_out=share)
    with pytest.raises(UsageError, match="side"):
        guarantee("local", side=0)


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


def local_curves(seed: int, count: int, side: int) -> CurveSet:
    rng = np.random.default_rng(seed)
    return CurveSet.from_curves(
        [RiskCurve.from_maps(*maps_in_squares(rng), bound=1.0, side=side) for _ in range(count)]
    )


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


@both
def test_a_map_above_the_errors_bounds_the_loss_of_the_same_kind(case: Case) -> None:
    for seed in range(20):
        scores, errors = case.maps(np.random.default_rng(seed))
        errors = errors * np.float32(0.8)
        above = bound_curve(scores, errors + np.float32(1e-4), 1.0, **case.made)
        own = RiskCurve.from_maps(scores, errors, bound=1.0, **case.made)
        at = np.linspace(-1, 6, 99)
        assert (own.loss(at) <= above.loss(at)).all()
        assert above.loss(math.inf) <= own.loss(math.inf) + 0.001
        if case is ALL_BUT:
            assert above.loss(math.inf) < 0.5, "the pixel that is wildly wrong is left out of the bound, too"


@pytest.mark.parametrize(
    ("name", "promised", "open_"),
    [
        (
            "all-but",
            "the largest lab-l1 error among trusted pixels is at most 0.1 when the worst of them, 1 % of",
            "Nothing is said of the pixels left out",
        ),
        (
            "local",
            "On average over new photographs, the largest lab-l1 error among the trusted pixels of a square of 64×64 "
            "pixels, averaged over the squares of a picture, is at most 0.1 (calibrated on 50 photographs). ",
            "Single squares may be far worse",
        ),
    ],
)
def test_it_says_what_it_spares_and_no_quality_follows(name: str, promised: str, open_: str) -> None:
    rule = guarantee(name)
    said = statement(rule, 0.1, 50, {"name": "lab-l1", "cap": 0.5})
    assert promised in said
    assert open_ in said
    assert "Errors above 0.5 count as 0.5" in said
    assert rule.minimum_images(0.1, 0.5) == 4
    with pytest.raises(UsageError, match="how wrong those pixels are"):
        psnr(rule, 0.1, catalog.load("metrics", "lab-l1"))


@pytest.fixture(scope="module")
def vendor() -> Iterator[bc.Adapter]:
    with FaultServer() as server:
        yield load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=server.url)


@pytest.mark.parametrize(
    ("typed", "stored", "promised", "audited"),
    [
        (
            "all-but:share=0.05",
            0.05,
            "5 % of the whole picture, are left out",
            "when the worst of them, 5 % of the picture, are left out",
        ),
        ("local:side=8", 8, "of a square of 8×8 pixels", "averaged over the squares of a picture"),
    ],
    ids=["all-but", "local"],
)
def test_it_is_calibrated_stored_applied_audited_and_reported(
    typed: str, stored: float, promised: str, audited: str, vendor: bc.Adapter, tmp_path: Path
) -> None:
    terms = {"run": tmp_path / "run", "max_cost": 1}
    photographs = write_photographs(tmp_path / "photographs", range(9))
    choices = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf", **terms}
    name, field = typed.split(":")[0], typed.split(":")[0].replace("-", "_")
    assert bc.plan(vendor, 9, guarantee=name, draws=2, metric="rgb-linf").needed_n["0.1"] == 9
    made = bc.calibrate(vendor, photographs, guarantee=typed, alpha=0.3, **choices)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    (of_kind,) = getattr(calibration, field)
    assert (of_kind.left_out if name == "all-but" else of_kind.side) == stored
    assert calibration.threshold(0.3) == made.threshold(0.3) >= made.threshold(0.3, "expected")
    found = bc.mask(vendor, photograph(20)[::2, ::2].copy(), calibration, 0.3, **terms)
    assert promised in found.certificate.statement
    assert contradictions(found.certificate, calibration) == []
    audit = bc.audit(vendor, write_photographs(tmp_path / "audit", range(30, 36)), calibration, [0.3], **terms)
    assert audit.quantity.startswith("the mean over photographs of the largest")
    assert audited in audit.quantity
    assert audit.pictures[0].curve.kind == name
    plain = bc.calibrate(vendor, photographs, **choices)
    assert getattr(plain, field) == ()
    for at in plain.curves.scores.astype(float):
        assert (of_kind.losses_at(at) <= plain.curves.losses_at(at) + 1 / 4096 + 1e-6).all()
    page = bc.report(tmp_path / "run", calibration=calibration, out=tmp_path / "report.html", audit=audit)
    assert audited in page.read_text(encoding="utf-8")
