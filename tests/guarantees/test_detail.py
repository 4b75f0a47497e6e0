"""Losses that spare pixels, mean over squares or share invented detail: by brute force, in words, from end to end."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from naive import risk_curves as naive
from naive.sorted_staircases import largest_but, mean_largest
from support.audit_material import audited_picture, calibration_of, curve_of, curves, detail_curves
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.guarantees.corollaries import psnr, statement
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.guarantees.instance_bound import bound_curve
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.kernels.detail import Energies, unexplained
from blackbox_conformal.method.metrics._detail import about_detail
from blackbox_conformal.method.risk import curve as curve_module
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.audit.auditing import Stopping
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support import catalog
from blackbox_conformal.testing.fault_server import FaultServer

KINDS = ("marked", "clear-share", "marked-in-squares")
IN_SQUARES = (
    "On average over new photographs, the largest lab-l1 error among the trusted pixels of a square of 64×64 pixels, "
    "averaged over the squares of a picture,"
)
Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


def maps(rng: np.random.Generator) -> Maps:
    """Tied scores, and energies of invented and of added detail, some of them none."""
    scores = rng.integers(0, 6, (6, 10)).astype(np.float32) / 8
    whole = rng.choice([0, 1, 50, 900], (6, 10)) * rng.random((6, 10))
    return scores, (whole * rng.random((6, 10)) * (scores + 0.2)).astype(np.float32), whole.astype(np.float32)


def loss_of(kind: str, scores: np.ndarray, part: np.ndarray, whole: np.ndarray, t: float) -> float:
    """The definition, for a threshold of at most the ceiling."""
    part, whole = part.astype(float), whole.astype(float)
    if kind == "marked":
        return float(part[scores < t].sum() / (part.sum() + part.size))
    if kind == "marked-in-squares":
        side, (height, width) = curve_module.SQUARE, part.shape
        corners = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
        squares = [(slice(top, top + side), slice(left, left + side)) for top, left in corners]
        losses = [loss_of("marked", scores[at], part[at], whole[at], t) for at in squares]
        return float(np.average(losses, weights=[part[at].size for at in squares]))

    def ratio(s: float) -> float:
        below = scores < s
        counted = max(whole[below].sum(), 0.05 * whole.sum())
        return float(part[below].sum() / counted) if counted else 0.0

    return max(ratio(s) for s in [t, *np.unique(scores[scores < t]).tolist()])


def made(one: Maps, ceiling: float = 0.9) -> dict[str, RiskCurve]:
    scores, part, whole = one
    errors = part / (whole + np.float32(9))
    return {curve.kind: curve for curve in curve_of(scores, errors).of_detail(scores, Energies(part, whole), ceiling)}


@pytest.fixture(autouse=True)
def small_squares(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of these tests have several squares, some of which the border cuts."""
    if "maps" in request.function.__code__.co_names:
        monkeypatch.setattr(curve_module, "SQUARE", 4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_is_the_definition_rounded_up_by_less_than_a_step(kind: str) -> None:
    for seed in range(40):
        one = maps(np.random.default_rng(seed))
        curve = made(one)[kind]
        for t in (-math.inf, 0.0, 0.01, 0.125, 0.25, 0.375, 0.5, 0.625, 0.7, 0.89):
            expected = loss_of(kind, *one, t)
            assert expected - 1e-9 <= curve.loss(t) <= expected + 1 / 4096 + 1e-9
        assert curve.loss(0.95) == curve.loss(math.inf) == 1
        assert curve.trusted_share(0.3) == pytest.approx((one[0] < 0.3).mean(), abs=1e-6)


def marked(scores: np.ndarray, part: np.ndarray, kind: str) -> RiskCurve:
    """Of a picture in which all that was added is invented."""
    return next(
        each for each in curve_of(scores, 0 * part).of_detail(scores, Energies(part, part), 0.9) if each.kind == kind
    )


@pytest.mark.parametrize("side", [128, 512, 2048])
def test_a_wrong_object_in_a_busy_picture_weighs_as_its_square_does(side: int) -> None:
    """All else is invented, too, and hatched; among all invention the object would be free in a large picture."""
    part, scores = np.full((side, side), 40.0**2, np.float32), np.full((side, side), 0.8, np.float32)
    scores[:32, :32] = 0
    share = 32**2 * 40**2 / (128**2 * (40**2 + 1))
    found = marked(scores, part, "marked-in-squares").loss(0.5)
    assert found == pytest.approx(share * 128**2 / side**2, abs=1 / 4096)
    scores[:, :] = np.where(np.arange(side) % 128 < 32, 0, 0.8)
    found = marked(scores, part, "marked-in-squares").loss(0.5)
    assert found == pytest.approx(0.25, abs=1e-3), "as many alike squares lose as much as one"


@pytest.mark.parametrize("side", [192, 1024, 2048])
def test_a_wrong_object_in_a_quiet_picture_is_as_wrong_in_a_large_one(side: int) -> None:
    part = np.zeros((side, side), np.float32)
    part[64:96, 64:96] = 40**2
    scores = np.zeros((side, side), np.float32)
    curve = curve_of(scores, np.zeros_like(part)).of_detail(scores, Energies(part, part), 0.9)[0]
    assert curve.kind == "marked"
    assert curve.loss(0.5) == pytest.approx(part.sum() / (part.sum() + min(part.size, 256**2)), abs=1 / 4096)
    assert curve.loss(0.5) > 0.95


def test_what_an_earlier_version_counted_by_area_is_used_where_it_is_the_same_and_else_refused(tmp_path: Path) -> None:
    found = calibration_of(curves(1, 12), detail=[detail_curves(2, 12, "marked", 0.9)])
    by_area = replace(found, detail=(replace(found.detail[0], kind="marked-by-area"),))
    stored = Calibration.load(by_area.save(tmp_path / "calibration.json"))
    assert stored.detail[0].kind == "marked-by-area"
    assert stored.digest == by_area.digest
    assert stored.threshold(0.3, "marked") == found.threshold(0.3, "marked")
    images = (image.model_copy(update={"height": 1024, "width": 1024}) for image in stored.images)
    large = replace(stored, images=tuple(images))
    with pytest.raises(CalibrationError, match=r"an earlier version counted a grey level at every pixel.*no call"):
        large.threshold(0.3, "marked")


def test_pictures_to_which_nothing_was_added_lose_nothing_below_the_ceiling_and_refused_ones_all_at_once() -> None:
    nothing = np.zeros((4, 5), np.float32)
    for curve in made((nothing, nothing, nothing)).values():
        assert (curve.loss(0.89), curve.loss(0.91)) == (0, 1)
    for curve in (RiskCurve.worst(1.5, kind, ceiling=0.9) for kind in KINDS):
        assert (curve.loss(-math.inf), curve.loss(-1.0)) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ceiling", [0.3, 0.9])
def test_the_threshold_is_the_largest_that_the_definition_allows(kind: str, ceiling: float) -> None:
    every = [maps(np.random.default_rng(seed)) for seed in range(30)]
    found = [made(one, ceiling)[kind] for one in every]
    top = float(np.float32(ceiling))
    sums = {t: sum(loss_of(kind, *one, t) for one in every) for t in (*np.arange(6) / 8, top) if t <= top}
    seen = set()
    for alpha in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.95):
        chosen = threshold(found, alpha, kind, ceiling=ceiling)
        # A step of 1/4096 may round a loss up.
        tight = [
            max((t for t, loss in sums.items() if loss + 30 * up + 1 <= alpha * 31), default=-math.inf)
            for up in (0.0, 1 / 4096)
        ]
        assert tight[1] <= chosen <= min(tight[0], top)
        seen.add(chosen)
    assert len(seen) > 2
    assert max(seen) == top or (kind != "clear-share" and ceiling == 0.9), "the highest level stops at the ceiling"


@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_single_pictures_and_of_one_calibration_take_the_largest_threshold_that_they_allow(kind: str) -> None:
    every = [maps(np.random.default_rng(seed)) for seed in range(60)]
    found = [made(one)[kind] for one in every]
    steps = [*(np.arange(6) / 8).tolist(), float(np.float32(0.9))]
    # A step of 1/4096 may round a loss up.
    tables = [np.array([[loss_of(kind, *one, t) + up for t in steps] for one in every]) for up in (0, 1 / 4096)]
    seen = set()
    for alpha in (0.1, 0.2, 0.4, 0.6, 0.8):
        limits = [np.sort([max(np.array(steps)[row <= alpha]) for row in table]) for table in tables]
        for delta in (0.1, 0.3):
            chosen = threshold(found, alpha, "per-image", of=kind, delta=delta)
            rank = math.floor(delta * 61 + 1e-9)
            assert limits[1][rank - 1] <= chosen <= limits[0][rank - 1]
            seen.add(("per-image", chosen))
            chosen = threshold(found, alpha, "high-probability", of=kind, delta=delta, method="mixture")
            allowed = [
                [naive.mixture_wealth(np.minimum(column, 1), alpha, 20) >= 1 / delta for column in table.T]
                for table in tables
            ]
            least, most = (max(np.array(steps)[each], default=-math.inf) for each in reversed(allowed))
            assert least <= chosen <= most
            seen.add(("high-probability", chosen))
    assert len(seen) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_curves_of_another_kind_or_ceiling_are_refused(kind: str) -> None:
    for material in (curves(0, 9), curves(0, 9, tolerance=0.1)):
        with pytest.raises(CalibrationError, match=f"expected {kind} curves"):
            guarantee(kind).threshold(material, 0.5)
    with pytest.raises(CalibrationError, match=r"ceiling 0\.8; these were made with 0\.9"):
        guarantee(kind, ceiling=0.8).threshold(detail_curves(0, 9, kind, 0.9), 0.5)
    stored = [list(detail_curves(0, 24, each, 0.9)) for each in KINDS]
    calibration = calibration_of(curves(0, 24), detail=stored)
    assert calibration.threshold(0.5, kind) > -math.inf
    with pytest.raises(CalibrationError, match=rf"ceiling 0\.9; asked for 0\.8.*{kind}:ceiling=0\.8.*no call is made"):
        calibration.threshold(0.5, kind, ceiling=0.8)
    packed = CurveSet.from_bytes(detail_curves(0, 9, kind, 0.9).to_bytes())
    assert (packed.kind, packed.ceiling) == (kind, 0.9)
    with pytest.raises(UsageError, match=r"bound from the picture bounds an error.*Leave bound_from out"):
        guarantee(kind, bound_from="delivered")
    for name in ("delta", "confidence"):
        with pytest.raises(UsageError, match=rf"{name} cannot be combined.*--guarantee high-probability:of=marked"):
            guarantee(kind, **{name: 0.1})


def test_rules_name_whose_loss_they_are_of_and_take_its_parameters_alone() -> None:
    rule = guarantee("per-image", of="marked", ceiling="3", delta=0.2)
    whole = {"name": "per-image", "delta": 0.2, "confidence": None, "of": "marked", "ceiling": 3}
    assert rule.specification() == whole
    assert "of" not in guarantee("per-image").specification()
    assert guarantee("high-probability", of="all-but").specification()["share"] == 0.01
    for parameters, said in (
        ({"ceiling": 3}, "ceiling is no parameter of expected.*say of=marked"),
        ({"of": "marked", "tolerance": 0.1}, "tolerance is no parameter of marked.*say of=false-trust"),
        ({"of": "per-image"}, "guarantee of a mean loss, such as of=marked; got 'per-image'"),
        ({"of": "all-but", "share": 2}, "share: .*less than 1"),
    ):
        with pytest.raises(UsageError, match=said):
            guarantee("high-probability", **parameters)
    with pytest.raises(CalibrationError, match="expected marked curves"):
        rule.threshold(curves(0, 9), 0.5)


def test_they_say_what_counts_and_what_they_leave_open() -> None:
    said = {kind: statement(guarantee(kind), 0.2, 50, {"name": "invention"}) for kind in KINDS}
    assert "at least 80 % of the detail that the vendor invented or removed is hatched" in said["marked"]
    assert "a picture with hardly any invention counts as hatched enough" in said["marked"]
    assert "of a larger picture at 65536 of its pixels, is counted" in guarantee("marked").definitions[-1]
    assert "at most 20 % of the detail that the vendor added in the clear part" in said["clear-share"]
    assert "less than 5 % of all detail added" in said["clear-share"]
    invention = {"name": "invention"}
    of_each = statement(guarantee("per-image", of="marked", delta=0.1), 0.2, 50, invention)
    assert of_each.startswith("In at least 90 % of new photographs, at least 80 % of the detail that the vendor invent")
    assert of_each.count("may lack detail that the input does not show") == 1
    sure = statement(guarantee("high-probability", of="clear-share", largest_error=0.3), 0.2, 50, {"name": "lab-l1"})
    assert "With confidence 0.9, 50 calibration photographs show that on average over new photographs at most " in sure
    assert "Also: With confidence 0.9, 50 calibration photographs show that on average over new photographs the" in sure
    hatched = "at least 80 % of detail invented or removed is hatched"
    clear = "at most 20 % of detail added in clear parts is invented"
    assert [guarantee(kind).briefly(0.2) for kind in KINDS] == [hatched, clear, f"{hatched}, square by square"]
    assert guarantee("high-probability", of="clear-share").briefly(0.2) == clear
    for kind in KINDS:
        for rule in (guarantee(kind), guarantee("per-image", of=kind)):
            assert "No pixel is clear whose score is 0.9 or more." in rule.definitions
        assert "grey of" not in said[kind]
        assert guarantee(kind).minimum_images(0.2, 1.0) == 4
        assert guarantee(kind, largest_error=0.1).fewest_images(0.2, 1.9576) == 19
        with pytest.raises(UsageError, match=r"how wrong those pixels are|root mean square"):
            psnr(guarantee(kind), 0.1, catalog.load("metrics", "invention"))


@pytest.fixture(scope="module")
def vendor() -> Iterator[bc.Adapter]:
    with FaultServer() as server:
        yield load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=server.url)


def pooled_by_hand(vendor: bc.Adapter, calibration: bc.Calibration, alpha: float, folder: Path) -> float:
    """Of all that was invented in the audited photographs together, the share that the masks leave clear."""
    clear = whole = 0.0
    for path in sorted((folder / "audit").iterdir()):
        truth = read_image(path).pixels
        low = reduced(truth, 4)
        mask = bc.mask(vendor, low, calibration, alpha, run=folder / "masked", max_cost=1)
        part, _ = unexplained(mask.image, truth, bicubic_up(low, 4), 4.0)
        clear, whole = clear + part[mask.mask].sum(), whole + part.sum()
    return clear / whole


def test_it_is_calibrated_stored_applied_audited_and_reported(vendor: bc.Adapter, tmp_path: Path) -> None:
    terms = {"run": tmp_path / "run", "max_cost": 1}
    photographs = write_photographs(tmp_path / "photographs", range(9))
    choices = {"score": "bicubic-gap", "metric": "invention", **terms}
    rule = "marked:ceiling=3"
    groups = {path.stem: "odd" if number % 2 else "even" for number, path in enumerate(photographs)}
    made = bc.calibrate(vendor, photographs, guarantee=rule, groups=groups, **choices)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    assert [(each.kind, each.ceiling) for each in calibration.detail] == [(kind, 3) for kind in KINDS]
    assert calibration.threshold(0.3) == made.threshold(0.3)
    assert calibration.threshold(0.3, "clear-share", ceiling=3) >= -math.inf
    found = bc.mask(vendor, reduced(photograph(20), 2), calibration, 0.3, **terms)
    assert "at least 70 % of the detail that the vendor invented" in found.certificate.statement
    assert contradictions(found.certificate, calibration) == []
    large = bc.mask(vendor, np.tile(reduced(photograph(20), 2), (2, 2, 1)), calibration, 0.3, **terms)
    assert large.certificate.guarantee["name"] == "marked-in-squares"
    assert "in a square of 128×128 pixels, averaged over the squares of a picture" in large.certificate.statement
    assert "times the pixels" not in str(large.certificate.reason)
    assert contradictions(large.certificate, calibration) == []
    grouped = bc.mask(vendor, reduced(photograph(21), 2), calibration, 0.3, group="even", **terms)
    assert "photographs of group 'even': On average" in grouped.certificate.statement
    assert contradictions(grouped.certificate, calibration) == []
    audit = bc.audit(vendor, write_photographs(tmp_path / "audit", range(30, 36)), calibration, [0.3], **terms)
    assert "share of invented detail that lies in the clear part" in audit.quantity
    assert audit.pictures[0].curve.kind == "marked"
    assert audit.levels[0].pooled == pytest.approx(pooled_by_hand(vendor, calibration, 0.3, tmp_path), abs=0.001)
    assert audit.levels[0].pooled != pytest.approx(audit.levels[0].judgement.risk, abs=0.003), "another figure"
    page = bc.report(tmp_path / "run", calibration=calibration, out=tmp_path / "report.html", audit=audit)
    text = page.read_text(encoding="utf-8")
    assert "lies in the clear part" in text
    assert f"together, {audit.levels[0].pooled:.0%} at 0.3 is clear" in text
    plain = bc.calibrate(vendor, photographs, **choices)
    assert plain.detail == ()


@pytest.mark.parametrize("rule", ["per-image:of=marked,delta=0.3", "high-probability:of=clear-share,delta=0.3"])
def test_single_pictures_and_one_calibration_are_promised_from_end_to_end(
    vendor: bc.Adapter, tmp_path: Path, rule: str
) -> None:
    terms = {"run": tmp_path / "run", "max_cost": 1}
    photographs = write_photographs(tmp_path / "photographs", range(9))
    choices = {"score": "bicubic-gap", "metric": "lab-l1:sigma=2", **terms}
    name, kind = rule.partition(":")[0], rule.partition("of=")[2].partition(",")[0]
    with pytest.raises(UsageError, match=rf"ceiling 0\.9 of {kind}; got bicubic-gap.*{name}:of={kind},ceiling=…"):
        bc.calibrate(vendor, photographs, guarantee=rule, **choices)
    made = bc.calibrate(vendor, photographs, guarantee=f"{rule},ceiling=9", alpha=0.6, **choices)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    assert calibration.threshold(0.6) == made.threshold(0.6) > -math.inf
    found = bc.mask(vendor, reduced(photograph(20), 2), calibration, 0.6, **terms)
    assert found.certificate.statement.startswith({"per-image": "In at least 70 %"}.get(name, "With confidence 0.7, 9"))
    assert contradictions(found.certificate, calibration) == []
    assert about_detail(calibration.guarantee, calibration.procedure.metric)
    audit = bc.audit(vendor, write_photographs(tmp_path / "audit", range(30, 36)), calibration, [0.6], **terms)
    assert audit.pictures[0].curve.kind == kind
    assert (audit.levels[0].pooled is None) == (kind != "marked")
    assert "the clear part of the picture" in audit.quantity
    page = bc.report(tmp_path / "run", calibration=calibration, out=tmp_path / "report.html", audit=audit)
    assert "the clear part of the picture" in page.read_text(encoding="utf-8")
    tiled = {path.stem: f"whole {number // 2}" for number, path in enumerate(photographs)}
    if name == "per-image":
        with pytest.raises(UsageError, match="says nothing of its worst tile"):
            bc.calibrate(vendor, photographs, guarantee=f"{rule},ceiling=9", tiles=tiled, **choices)
    else:
        in_tiles = bc.calibrate(vendor, photographs, guarantee=f"{rule},ceiling=9", tiles=tiled, **choices)
        assert "For a tile drawn at random" in statement(in_tiles.rule(), 0.6, 9, in_tiles.procedure.metric)


def test_one_calibration_keeps_invention_and_the_largest_error_together(vendor: bc.Adapter, tmp_path: Path) -> None:
    terms = {"run": tmp_path / "run", "max_cost": 1}
    photographs = write_photographs(tmp_path / "photographs", range(12))
    groups = {path.stem: "odd" if number % 2 else "even" for number, path in enumerate(photographs)}
    choices = {"score": "bicubic-gap", "metric": "lab-l1:sigma=2", **terms, "groups": groups}
    made = bc.calibrate(vendor, photographs, guarantee="marked:ceiling=9,largest_error=0.3", **choices)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    alone = calibration.threshold(0.6, "marked", ceiling=9, largest_error=None)
    colours = calibration.threshold(0.3, "expected")
    assert -math.inf < colours != alone
    assert calibration.threshold(0.6) == min(alone, colours)
    # At a level of the largest error that binds, and at one that does not.
    tight, loose = (calibration.threshold(0.6, largest_error=level) for level in (0.25, 1.2))
    assert (tight, loose) == (min(alone, calibration.threshold(0.25, "expected")), alone)
    assert tight < loose
    found = bc.mask(vendor, reduced(photograph(20), 2), calibration, 0.6, group="odd", **terms)
    said = found.certificate.statement
    assert "at least 40 % of the detail that the vendor invented" in said
    assert "Among photographs of group 'odd': On average over new photographs, at least 40 % of" in said
    assert ", and the largest locally averaged lab-l1 error" in said
    assert "No pixel is clear whose score is 9 or more." in found.certificate.assumptions
    assert "among trusted pixels is at most 0.3" in said
    assert said.count("The clear part may lack detail that the input does not show") == 1
    assert "For scale: 0.3 is an even grey of" in said
    assert contradictions(found.certificate, calibration) == []
    audit = bc.audit(vendor, write_photographs(tmp_path / "audit", range(30, 36)), calibration, [0.6], **terms)
    (note,) = [note for note in audit.notes if note.startswith("Also promised, at most 0.3")]
    largest = [0.0 if picture.worst[0] is None else picture.worst[0].error for picture in audit.pictures]
    assert f"With the masks of alpha 0.6 it is {np.mean(largest):.3g}:" in note
    with pytest.raises(CalibrationError, match=r"largest_error=0\.01 of marked cannot be kept, and nothing can be"):
        calibration.threshold(0.6, largest_error=0.01)
    with pytest.raises(CalibrationError, match=r"largest_error=0\.05 of marked needs at least 39 calibration"):
        bc.calibrate(vendor, photographs, guarantee="marked:ceiling=9,largest_error=0.05", **choices, alpha=0.6)


@pytest.mark.parametrize("name", ["marked", "high-probability", "per-image"])
def test_an_audit_is_contradicted_where_invention_is_kept_and_the_largest_error_is_not(name: str) -> None:
    rule = guarantee(name, largest_error=0.2, **({} if name == "marked" else {"of": "marked", "delta": 0.3}))
    calibration = calibration_of(curves(0, 60), detail=[list(detail_curves(0, 60, each, 0.9)) for each in KINDS])
    threshold = rule.threshold(calibration.curves_for(rule), 0.9)
    found, stops = {}, {}
    for size in (0.001, 0.95):
        # Detail is invented alike in both; the trusted errors are not.
        pictures = []
        for index, (scores, part, whole) in enumerate(maps(np.random.default_rng(seed)) for seed in range(60)):
            picture = audited_picture(f"a{index}", scores, np.full(scores.shape, size, np.float32), [threshold])
            curve = made((scores, part, whole))["marked"]
            pictures.append(replace(picture, curve=curve, losses=(curve.loss(threshold),)))
        found[size] = conclude(calibration, rule, [0.9], pictures)
        stopping = Stopping(calibration, rule, [0.9], None)
        looks = range(stopping.needed(60), 61)
        stops[size] = next((n for n in looks if stopping.look(pictures[:n]) or stopping.reason), None)
        assert stopping.reason == found[size].verdict
    assert (found[0.001].verdict, found[0.95].verdict) == ("confirmed", "contradicted")
    assert found[0.95].levels[0].judgement == found[0.001].levels[0].judgement
    note = found[0.95].notes[-1]
    assert note.startswith("Also promised")
    assert " alpha, " not in note
    assert "were the guarantee to hold, so large a risk would ever be seen with a probability of at most" in note
    # No bets on the detail alone end an audit that has the largest error to confirm, too.
    alone = Stopping(calibration, guarantee("marked"), [0.9], None)
    assert stops[0.001] > alone.needed(60)


def test_what_does_not_go_together_is_refused_before_anything_is_paid(vendor: bc.Adapter, tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path / "photographs", range(9))
    holes = {"guarantee": "marked:ceiling=3", "metric": "lab-l1", "degradation": "bicubic:4+holes:0.2"}
    other_unit = {"guarantee": "marked", "metric": "invention"}
    for choices, said in (
        (holes, r"inputs that show the whole picture for invention; .* paints holes"),
        (other_unit, r"bicubic-gap, which has another unit.*--guarantee marked:ceiling="),
    ):
        with pytest.raises(UsageError, match=said):
            bc.calibrate(vendor, photographs, score="bicubic-gap", run=tmp_path / "run", max_cost=1, **choices)
    twice = [list(detail_curves(0, 24, "marked", 0.9))] * 2
    path = calibration_of(curves(0, 24), detail=twice).save(tmp_path / "calibration.json")
    with pytest.raises(FileFormatError, match="shares of detail, one set of curves of a kind"):
        Calibration.load(path)


ScoresAndErrors = tuple[np.ndarray, np.ndarray]


def maps_with_an_outlier(rng: np.random.Generator) -> ScoresAndErrors:
    """Tied scores, and errors on the grid of 4096 levels, so that nothing is rounded; one pixel is wildly wrong."""
    scores = rng.integers(0, 5, (6, 10)).astype(np.float32)
    errors = np.floor(scores / 5 * rng.random((6, 10)) * 2048) / 4096
    errors[rng.integers(6), rng.integers(10)] = 1
    return scores, errors.astype(np.float32)


def maps_in_squares(rng: np.random.Generator) -> ScoresAndErrors:
    """Tied scores, and errors of which every mean over squares of 3 pixels (of 6 x 9) lies on the grid of 4096."""
    scores = rng.integers(0, 5, (6, 9)).astype(np.float32)
    return scores, (6 * np.floor(scores / 5 * rng.random((6, 9)) * 680) / 4096).astype(np.float32)


class Case(NamedTuple):
    """A guarantee, what its curves are made with, the maps it is tried on, and its loss by its definition."""

    name: str
    parameters: dict[str, Any]
    made: dict[str, Any]
    maps: Callable[[np.random.Generator], ScoresAndErrors]
    loss: Callable[[ScoresAndErrors, float], float]


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
def test_the_threshold_that_spares_is_the_largest_that_the_definition_allows(case: Case) -> None:
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
    for wrong, loss in ((29, 0), (30, 1)):
        errors.flat[:wrong] = 1
        assert RiskCurve.from_maps(scores, errors, bound=1.0, left_out=0.29).loss(math.inf) == loss


def test_one_square_of_the_whole_picture_is_the_largest_error_and_squares_of_a_pixel_are_a_mean() -> None:
    scores, errors = maps_in_squares(np.random.default_rng(1))
    whole = RiskCurve.from_maps(scores, errors, bound=1.0, side=64)
    single = RiskCurve.from_maps(scores, errors, bound=1.0, side=1)
    for t in (-math.inf, 0.0, 0.5, 1.5, 3.0, math.inf):
        assert whole.loss(t) == RiskCurve.from_maps(scores, errors, bound=1.0).loss(t)
        exact = float(np.where(scores < t, errors, 0).astype(float).mean())
        assert exact <= single.loss(t) <= exact + 1 / 4096 + 1e-9


def test_a_share_or_side_that_is_none_is_refused() -> None:
    for share in (0.0, 1.0, -0.1, math.nan):
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
    every = [maps_in_squares(rng) for rng in [np.random.default_rng(seed)] for _ in range(count)]
    return CurveSet.from_curves([RiskCurve.from_maps(*one, bound=1.0, side=side) for one in every])


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
        ("local", f"{IN_SQUARES} is at most 0.1 (calibrated on 50 photographs). ", "Single squares may be far worse"),
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
def test_what_spares_is_calibrated_stored_applied_audited_and_reported(
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
