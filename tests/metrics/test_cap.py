"""A cap of any metric: what counts, the bound, what follows from it and what does not, and the words that say so."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.audit_material import calibration_of, curves
from support.family_cases import metrics_of_pictures_alone
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import check_agreement
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.audits.quality import promise
from blackbox_conformal.method.guarantees.corollaries import cap_note, psnr, statement
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.guarantees.instance_bound import rule_for_picture
from blackbox_conformal.method.metrics.custom_metric import from_function
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support import catalog
from blackbox_conformal.support.rounding import float32_down
from blackbox_conformal.testing.fault_server import FaultServer

NAMES = metrics_of_pictures_alone()
NOTE = "Errors above 0.05 count as 0.05: the guarantee does not tell an error of 0.05 from a larger one."


class Green(Metric):
    """A subclass as another package may write it, which knows of no cap."""

    @property
    def bound(self) -> float:
        return 1.0

    def map(self, truth: np.ndarray, delivered: np.ndarray) -> np.ndarray:
        return np.abs(truth[..., 1].astype(np.float32) - delivered[..., 1]) / np.float32(255)


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    truth, delivered = np.random.default_rng(seed).integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    return truth, delivered


def uncapped(name: str) -> dict[str, float]:
    """`delta-e-2000` is never without a cap; this one is above every error."""
    return {"cap": 120.0} if name == "delta-e-2000" else {}


@pytest.mark.parametrize("name", NAMES)
def test_errors_above_the_cap_count_as_the_cap_and_others_as_they_are(name: str) -> None:
    plain, capped = (catalog.load("metrics", name, **parameters) for parameters in (uncapped(name), {"cap": "0.05"}))
    errors = bc.error_map(*pictures(), metric=plain)
    assert errors.max() > 0.05
    found = bc.error_map(*pictures(), metric=capped)
    assert found.dtype == np.float32
    assert float(found.max()) <= 0.05
    np.testing.assert_allclose(found, np.minimum(errors, 0.05), atol=1e-8)
    assert bc.metric_bound(capped) == 0.05
    assert capped.facts()["values"] == "0 to 0.05, 0 where nothing is wrong"


@pytest.mark.parametrize("name", NAMES)
def test_the_cap_comes_after_the_average(name: str) -> None:
    """But for `delta-e-2000`, whose formula is clipped."""
    if name == "delta-e-2000":
        pytest.skip("clipped before it is averaged")
    plain, capped = (catalog.load("metrics", name, sigma=1, **parameters) for parameters in ({}, {"cap": 0.02}))
    errors = bc.error_map(*pictures(), metric=plain)
    np.testing.assert_allclose(bc.error_map(*pictures(), metric=capped), np.minimum(errors, 0.02), atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_only_a_cap_that_is_given_is_part_of_the_procedure(name: str) -> None:
    assert ("cap" in catalog.load("metrics", name).specification()) == (name == "delta-e-2000")
    assert catalog.load("metrics", name, cap=0.5).specification()["cap"] == 0.5


def test_metrics_of_other_packages_and_of_the_user_have_a_cap_too() -> None:
    truth, delivered = pictures()
    green = np.abs(truth[..., 1].astype(float) - delivered[..., 1]) / 255
    mine = from_function("capped-green", lambda t, d: np.abs(t[..., 1].astype(float) - d[..., 1]) / 255, 1, cap=0.3)
    for metric in (Green(cap=0.3), mine):
        np.testing.assert_allclose(bc.error_map(truth, delivered, metric), np.minimum(green, 0.3), atol=1e-7)
        assert bc.metric_bound(metric) == 0.3
        assert metric.specification()["cap"] == 0.3


def test_errors_in_holes_have_the_cap_that_was_given() -> None:
    capped = catalog.load("metrics", "in-holes", of="delta-e-2000", cap=7)
    assert (capped.capped_bound, capped.specification()["cap"]) == (7, 7)
    assert "cap" not in catalog.load("metrics", "in-holes").specification()
    setup = set_up(
        load_adapter("embedded"), metric="in-holes:of=rgb-linf,cap=0.3", degradation="bicubic:4+holes:0.3,side=4-8"
    )
    truth, delivered = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    low = setup.procedure.degraded(truth, "0" * 64)
    assert set(np.unique(setup.errors(truth, delivered, low))) == {np.float32(0), float32_down(0.3)}


def test_a_cap_makes_an_unbounded_error_usable_and_hides_no_broken_one() -> None:
    class Wild(Green):
        @property
        def bound(self) -> float:
            return float("inf")

        def map(self, truth: np.ndarray, delivered: np.ndarray) -> np.ndarray:
            return np.array([[3.0, np.inf, np.nan]], np.float32)

    assert Wild(cap=0.5).capped_bound == 0.5
    np.testing.assert_array_equal(Wild(cap=0.5).capped_map(*pictures()), np.array([[0.5, 0.5, np.nan]], np.float32))


@pytest.mark.parametrize("cap", ["0", "-1", "inf", "nan", "none"])
def test_a_cap_that_is_none_is_refused(cap: str) -> None:
    with pytest.raises(UsageError, match="cap"):
        catalog.load("metrics", "lab-l1", cap=cap)


def test_a_cap_above_the_bound_changes_no_error() -> None:
    assert catalog.load("metrics", "rgb-linf", cap=5).capped_bound == 1


def test_no_quality_follows_from_capped_errors() -> None:
    capped = catalog.load("metrics", "lab-l1", cap=0.5)
    assert psnr(guarantee("expected"), 0.1, catalog.load("metrics", "lab-l1")).decibels > 20
    with pytest.raises(UsageError, match=r"got cap=0.5.*Leave cap out"):
        psnr(guarantee("expected"), 0.1, capped)
    assert (capped.facts()["PSNR follows"], catalog.load("metrics", "lab-l1").facts()["PSNR follows"]) == ("no", "yes")
    for metric, follows in (("ssim", {}), ("ssim", {"cap": 0.5})):
        implied = promise(guarantee("expected"), 0.1, catalog.load("metrics", metric, **follows), 1.0)
        assert np.isnan(implied.ssim) == bool(follows)


@pytest.mark.parametrize("source", ["delivered", "input"])
def test_a_picture_bounds_its_own_errors_by_the_cap_at_most(source: str) -> None:
    rng = np.random.default_rng(1)
    low = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    delivered = np.repeat(np.repeat(low, 4, 0), 4, 1)
    scores = rng.random((48, 48)).astype(np.float32)
    mixture = Procedure(
        vendor={}, scale=4, draws=1, score={"name": "texture"}, metric={"name": "rgb-linf"}, degradation="area:4"
    ).mixture
    bounds = {}
    for cap in (None, 0.15):
        metric = catalog.load("metrics", "rgb-linf", order="difference-of-blurs", sigma=4, cap=cap)
        own = rule_for_picture(
            guarantee("expected", bound_from=source), metric, delivered, low, scores, mixture
        ).own_bound
        assert own is not None
        bounds[cap] = own.loss(np.linspace(0, 1, 50))
    assert bounds[None].max() > 0.15
    np.testing.assert_allclose(bounds[0.15], np.minimum(bounds[None], 0.15), atol=1e-7)


def test_the_sentence_of_a_mean_says_what_the_cap_leaves_open() -> None:
    metric = {"name": "lab-l1", "cap": 0.05}
    said = statement(guarantee("expected"), 0.01, 50, metric)
    assert said.endswith(NOTE)
    assert "the largest lab-l1 error among trusted pixels is at most 0.01" in said
    assert NOTE in statement(guarantee("high-probability"), 0.01, 50, metric)
    assert cap_note(guarantee("expected"), {"name": "lab-l1"}) is None
    # How many errors exceed a level below the cap does not depend on the cap.
    assert cap_note(guarantee("per-image"), metric) is None
    assert cap_note(guarantee("false-trust"), metric) is None


def test_a_tolerance_that_no_capped_error_exceeds_promises_nothing() -> None:
    shares = [list(curves(0, 24, tolerance=tolerance)) for tolerance in (0.4, 1.0)]
    calibration = calibration_of(curves(0, 24), shares=shares)
    calibration.curves_for(guarantee("false-trust", tolerance=0.4))
    with pytest.raises(CalibrationError, match=r"below 1 are stored for 0.4; asked for 1"):
        calibration.curves_for(guarantee("false-trust", tolerance=1.0))


class Desk:
    """A vendor and nine photographs, calibrated with a capped metric at a level that the bound alone rules out."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.photographs = folder, write_photographs(folder / "photographs", range(9))
        self.vendor = load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=url)

    def choices(self, metric: str) -> dict[str, object]:
        return {"draws": 2, "score": "pixel-variance", "metric": metric, "run": self.folder / "run", "max_cost": 1}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with FaultServer() as server:
        yield Desk(tmp_path_factory.mktemp("desk"), server.url)


def test_the_number_of_photographs_is_planned_and_asked_for_by_the_cap(desk: Desk) -> None:
    assert bc.plan(desk.vendor, 9, draws=2, metric="lab-l1").needed_n["0.1"] == 19
    assert bc.plan(desk.vendor, 9, draws=2, metric="lab-l1:cap=0.5").needed_n["0.1"] == 4
    with pytest.raises(CalibrationError, match="needs at least 19"):
        bc.calibrate(desk.vendor, desk.photographs, alpha=0.1, **desk.choices("lab-l1"))
    with pytest.raises(UsageError, match=r"tolerance below 0.05.*got 0.1"):
        bc.calibrate(desk.vendor, desk.photographs, guarantee="false-trust", **desk.choices("lab-l1:cap=0.05"))


def test_calibration_mask_audit_and_certificate_agree_on_the_cap(desk: Desk) -> None:
    capped = bc.calibrate(desk.vendor, desk.photographs, alpha=0.01, **desk.choices("lab-l1:cap=0.05"))
    plain = bc.calibrate(desk.vendor, desk.photographs, **desk.choices("lab-l1"))
    assert capped.bound == 0.05
    assert float(capped.curves.losses.max()) <= 0.05 < float(plain.curves.losses.max())
    assert capped.procedure.fingerprint != plain.procedure.fingerprint
    small = photograph(20)[::2, ::2].copy()
    terms = {"run": desk.folder / "run", "max_cost": 1}
    found = bc.mask(desk.vendor, small, capped, 0.04, **terms)
    assert found.certificate.bound == 0.05
    assert found.certificate.statement.endswith(NOTE)
    assert found.certificate.psnr is None
    assert NOTE not in bc.mask(desk.vendor, small, plain, 1.5, **terms).certificate.statement
    audit = bc.audit(desk.vendor, write_photographs(desk.folder / "audit", range(30, 36)), capped, [0.04], **terms)
    assert NOTE in audit.notes
    assert max(picture.losses[0] for picture in audit.pictures) <= 0.05
    with pytest.raises(FileFormatError, match=r"bound of the metric lab-l1, 0\.05"):
        check_agreement(dataclasses.replace(capped, bound=1.9576))
