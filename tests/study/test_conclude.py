"""From audited pictures to the audit: figures from maps, verdicts and when they are settled, the worst crops."""

import math

import numpy as np
import pytest
from PIL import Image
from support.audit_material import audited_picture, calibration_of, curve_of, curves, maps, refused_picture
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.audits.permutation import resplit_risks
from blackbox_conformal.method.audits.sequential import AuditLook, AuditStop
from blackbox_conformal.method.audits.verdict import EXPLAINED, judge
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import PixelPlace
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study.audit.auditing import Stopping
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.study.audit.measure import CROP_SIDE, Crop, WorstCrops
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

LEVELS = [0.3, 0.5]


def unseen(seed, count, thresholds, **settings):
    rng = np.random.default_rng(seed)
    return [audited_picture(f"a{k}", *maps(rng), thresholds, **settings) for k in range(count)]


def thresholds_of(calibration, rule):
    return [rule.threshold(calibration.curves_for(rule), alpha) for alpha in LEVELS]


def test_figures_are_means_over_the_photographs():
    calibration = calibration_of(curves(0, 20))
    rule = calibration.rule()
    pictures = unseen(1, 15, thresholds_of(calibration, rule))
    found = conclude(calibration, rule, LEVELS, pictures)
    assert (found.n, found.units, found.clusters) == (15, 15, None)
    assert found.quantity == "the mean over photographs of the largest rgb-linf error of a trusted pixel"
    for index, level in enumerate(found.levels):
        assert level.alpha == level.claimed == LEVELS[index]
        assert level.threshold == calibration.threshold(LEVELS[index])
        losses = np.array([one.losses[index] for one in pictures])
        known = calibration.curves.losses_at(level.threshold)
        assert level.judgement.risk == pytest.approx(losses.mean())
        assert level.judgement.interval == judge(losses, LEVELS[index], 1.0, known=known).interval
        assert level.judgement.interval != judge(losses, LEVELS[index], 1.0).interval
        assert level.trusted_share == pytest.approx(np.mean([one.shares[index] for one in pictures]))
        assert level.empty_share == np.mean([one.shares[index] == 0 for one in pictures])
        for name in ("inside", "outside"):
            known = [
                getattr(one, name)[index].psnr for one in pictures if not math.isnan(getattr(one, name)[index].psnr)
            ]
            assert getattr(level, name).psnr == pytest.approx(np.mean(known))
        assert level.whole.psnr == pytest.approx(np.mean([one.whole.psnr for one in pictures]))
        assert level.promise.psnr == pytest.approx(-20 * math.log10(LEVELS[index]))
    assert (found.leakage.points[0].risk, found.notes) == (pytest.approx(found.levels[0].judgement.risk), ())


def test_a_refused_photograph_has_a_loss_and_no_mask():
    calibration = calibration_of(curves(0, 20))
    rule = calibration.rule()
    thresholds = thresholds_of(calibration, rule)
    pictures = [*unseen(1, 3, thresholds), refused_picture("r", thresholds)]
    found = conclude(calibration, rule, LEVELS, pictures)
    level = found.levels[1]
    assert level.judgement.risk == pytest.approx((sum(one.losses[1] for one in pictures[:3]) + 1) / 4)
    assert level.trusted_share == pytest.approx(sum(one.shares[1] for one in pictures[:3]) / 4)
    assert level.empty_share == np.mean([one.shares[1] == 0 for one in pictures[:3]]) * 3 / 4
    shown = np.mean([one.shares[1] > 0 for one in pictures])
    assert level.promise.psnr_if_trusted == pytest.approx(-20 * math.log10(LEVELS[1] / shown))
    assert level.inside.psnr == pytest.approx(np.mean([one.inside[1].psnr for one in pictures[:3]]))
    assert any("refused 1 of 4 audit photographs, first r" in note for note in found.notes)


def test_per_image_counts_misses():
    calibration = calibration_of(curves(0, 30), guarantee={"name": "per-image", "delta": 0.2})
    rule = calibration.rule()
    assert rule == PerImage(delta=0.2)
    pictures = unseen(1, 25, thresholds_of(calibration, rule))
    found = conclude(calibration, rule, LEVELS, pictures)
    for index, level in enumerate(found.levels):
        assert level.claimed == 0.2
        assert level.judgement.risk == np.mean([one.losses[index] > LEVELS[index] for one in pictures])
    assert found.leakage is None


def test_misses_of_a_fixed_number_of_photographs_have_an_exact_interval_and_other_losses_have_not():
    calibration, rule = calibration_of(curves(0, 30)), PerImage(delta=0.2)
    pictures = unseen(1, 25, thresholds_of(calibration, rule))
    settled = AuditStop(40, (AuditLook(25, (0.1, 0.1)),), "confirmed", (1.0, 1.0), 0.01)
    fixed, stopped = (conclude(calibration, rule, LEVELS, pictures, stop=stop).levels for stop in (None, settled))
    for index in range(2):
        misses = np.array([one.losses[index] > LEVELS[index] for one in pictures]) * 1.0
        assert fixed[index].judgement.interval == judge(misses, 0.2, 1.0, exact=True).interval
        assert (fixed[index].judgement.exact, stopped[index].judgement.exact) == (True, False)
    average = calibration.rule()
    pictures = unseen(1, 25, thresholds_of(calibration, average))
    assert not any(level.judgement.exact for level in conclude(calibration, average, LEVELS, pictures).levels)


def test_tiles_count_as_one_photograph():
    names = tuple(f"p{k // 4}" for k in range(24))
    calibration = calibration_of(curves(0, 24))
    rule = ByCluster(of="expected", clusters=tuple(f"c{k // 4}" for k in range(24)))
    pictures = unseen(1, 24, thresholds_of(calibration, rule))
    uneven = pictures[:14]
    tiles = names[:14]
    found = conclude(calibration, rule, LEVELS, uneven, clusters=tiles)
    assert (found.n, found.units, found.clusters) == (14, 4, tiles)
    by_photograph = [[one for one, name in zip(uneven, tiles, strict=True) if name == f"p{k}"] for k in range(4)]
    level = found.levels[1]
    assert level.judgement.risk == pytest.approx(
        np.mean([np.mean([o.losses[1] for o in own]) for own in by_photograph])
    )
    assert level.trusted_share == pytest.approx(np.mean([np.mean([o.shares[1] for o in own]) for own in by_photograph]))
    assert found.leakage.n == 6, "photographs leak, not tiles"


def test_tiles_against_whole_photographs_have_no_permutation_test():
    calibration = calibration_of(curves(0, 20))
    rule = calibration.rule()
    pictures = unseen(1, 12, [math.inf] * 2)
    found = conclude(calibration, rule, LEVELS, pictures, clusters=[f"p{k // 3}" for k in range(12)])
    assert {level.judgement.p_value for level in found.levels} == {1.0}
    assert found.leakage is None
    assert any("not exchangeable" in note for note in found.notes)


def test_a_bound_of_the_picture_that_did_not_hold_contradicts():
    calibration = calibration_of(curves(0, 20))
    rule = Expected(bound_from="delivered")
    thresholds = thresholds_of(calibration, rule)
    pictures = unseen(1, 400, thresholds)
    kept = conclude(calibration, rule, LEVELS, pictures)
    assert kept.verdict != "contradicted"
    assert any("with each picture's own bound, from its delivered colours" in note for note in kept.notes)
    broken = conclude(calibration, rule, LEVELS, [*pictures[:-1], *unseen(2, 1, thresholds, broken=True)])
    assert broken.verdict == "contradicted"
    assert any("exceeds the bound that was computed for them, first a0" in note for note in broken.notes)


def test_losses_under_own_bounds_are_judged_and_splits_compare_like_with_like():
    """Masks with a bound of the picture trust more; a split cannot make them anew, so they are not held against it."""
    rng = np.random.default_rng(0)
    calibration = calibration_of(CurveSet.from_curves([curve_of(*steep(rng)) for _ in range(N)]))
    generous = [calibration.threshold(ALPHA) + 0.1]
    pictures = [audited_picture(f"a{k}", *steep(rng), generous) for k in range(60)]
    found = conclude(calibration, Expected(bound_from="delivered"), [ALPHA], pictures).levels[0].judgement
    assert found.risk == pytest.approx(np.mean([one.losses[0] for one in pictures]))
    assert found.risk > ALPHA
    together = CurveSet.from_curves([*calibration.curves, *(one.curve for one in pictures)])
    resplit = resplit_risks(Expected(), together, N, [ALPHA])[:, 0]
    unlike = judge(np.array([one.losses[0] for one in pictures]), ALPHA, 1.0, resplit)
    assert unlike.verdict in ("shifted", "contradicted")
    assert found.verdict == "inconclusive"
    assert found.p_value > 0.05


def test_weights_say_for_whom_they_speak():
    calibration = calibration_of(curves(0, 20))
    rule = Expected(weights=(1.0,) * 20, weight_new=1.0)
    found = conclude(calibration, rule, LEVELS, unseen(1, 30, [math.inf] * 2))
    assert {level.judgement.p_value for level in found.levels} == {1.0}
    assert any("weight_new" in note for note in found.notes)


def test_one_shifted_level_of_many_is_explained():
    """A mild excess: shifted at 5 % where one level was looked at, not where it is one of nine."""
    levels = [*(round(0.001 * k, 3) for k in range(1, 9)), 0.4]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        calibration = calibration_of(CurveSet.from_curves([curve_of(*steep(rng)) for _ in range(N)]))
        rule = calibration.rule()
        photographs = [steep(rng, 1.05) for _ in range(30)]

        def audit(levels, calibration=calibration, rule=rule, photographs=photographs):
            at = [calibration.threshold(alpha) for alpha in levels]
            pictures = [audited_picture(f"a{k}", *one, at) for k, one in enumerate(photographs)]
            return conclude(calibration, rule, levels, pictures)

        single, many = audit([0.4]), audit(levels)
        p = many.levels[-1].judgement.p_value
        if 0.05 / 9 < p <= 0.05:
            break
    assert single.verdict == "shifted"
    assert (many.verdict, many.levels[-1].judgement.verdict) == ("inconclusive", "shifted")
    assert f"Shifted by itself: 0.4 (p = {p:.3g})" in many.notes[0]
    assert "only where p is at most 0.0056" in many.notes[0]
    assert not any("by itself" in note for note in single.notes)


def test_the_claim_must_be_one():
    calibration = calibration_of(curves(0, 20))
    with pytest.raises(UsageError, match="--tiles"):
        conclude(calibration, ByCluster(clusters=("a",) * 20), LEVELS, unseen(1, 3, [0.1, 0.2]))


# Rates over 200 whole audits: calibrate on 40 photographs, audit 60 or 400 others at one level.
SIMULATIONS, N, ALPHA = 200, 40, 0.4


def steep(rng, harder=1.0):
    """A photograph whose errors vary little, so that an audit of 60 can tell a fifth more from as much."""
    scores = np.linspace(0.02, 1, 16).astype(np.float32)
    errors = np.minimum(np.linspace(0.03, 0.9, 16) * rng.uniform(0.9, 1.1) * harder, 1 - 1e-3 * (16 - np.arange(16)))
    return scores[None] * np.float32(rng.uniform(0.97, 1.03)), errors[None].astype(np.float32)


def rates(m, *, shift=0.0, harder=1.0):
    """Shares of verdicts; `shift` raises the scores that calibration sees, so that its thresholds are too high."""
    counts = dict.fromkeys(EXPLAINED, 0)
    for seed in range(SIMULATIONS):
        rng = np.random.default_rng(seed)
        known = []
        for _ in range(N):
            scores, errors = steep(rng)
            known.append(curve_of(scores + np.float32(shift), errors))
        calibration = calibration_of(CurveSet.from_curves(known))
        rule = calibration.rule()
        thresholds = [calibration.threshold(ALPHA)]
        pictures = [audited_picture(f"a{k}", *steep(rng, harder), thresholds) for k in range(m)]
        counts[conclude(calibration, rule, [ALPHA], pictures).verdict] += 1
    found = {name: count / SIMULATIONS for name, count in counts.items()}
    print(f"{m} audited, thresholds shifted by {shift:g}, errors times {harder:g}: {found}")
    return found


@pytest.mark.slow
def test_good_calibrations_are_confirmed_and_hardly_ever_contradicted():
    found = rates(400)
    assert found["confirmed"] >= 0.9
    assert found["contradicted"] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("planted", [{"shift": 0.1}, {"harder": 1.4}], ids=["shifted thresholds", "foreign vendor"])
def test_planted_bad_calibrations_are_contradicted(planted):
    found = rates(60, **planted)
    assert found["contradicted"] >= 0.9
    assert found["confirmed"] == 0


DRAWS, GIVEN, EASY = 2, 16, 0.95
CHOICES = {"draws": DRAWS, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture
def shop(tmp_path):
    """(server, vendor, calibration, unseen photographs): at `EASY` a few photographs confirm."""
    with FaultServer() as server:
        vendor = SynchronousVendor(url=server.url)
        known = write_photographs(tmp_path / "known", range(20))
        calibration = bc.calibrate(vendor, known, run=tmp_path / "run", max_cost=5, **CHOICES)
        yield server, vendor, calibration, write_photographs(tmp_path / "unseen", range(20, 20 + GIVEN))


def audit(shop, tmp_path, photographs=None, alpha=EASY, **settings) -> Audit:
    _, vendor, calibration, unseen = shop
    settings = {"max_cost": 5, "concurrency": 1, **settings}
    return bc.audit(vendor, photographs or unseen, calibration, alpha, run=tmp_path / "run", **settings)


def test_fewer_calls_are_paid_than_photographs_were_given_and_the_same_command_pays_nothing(shop, tmp_path):
    server = shop[0]
    before = server.account.paid
    found = audit(shop, tmp_path)
    paid = server.account.paid - before
    assert found.verdict == found.stop.reason == "confirmed"
    assert found.stop.looked == found.n < found.stop.given == GIVEN
    assert paid == found.calls == DRAWS * found.n < DRAWS * GIVEN
    bounds = [look.bounds[0] for look in found.stop.looks]
    assert bounds[-1] == found.levels[0].judgement.interval[1] <= EASY
    assert all(bound > EASY for bound in bounds[:-1]), "one photograph too many was bought"
    again = audit(shop, tmp_path)
    assert (again.calls, again.n, again.verdict) == (0, found.n, "confirmed")
    assert [one.truth for one in again.pictures] == [one.truth for one in found.pictures]
    digests = sorted(one.truth for one in audit(shop, tmp_path, stop=False).pictures)
    assert len(digests) == GIVEN
    assert [one.truth for one in found.pictures] == digests[: found.n], "the order is that of the digests"


def test_how_it_went_is_in_the_document_and_is_kept(shop, tmp_path):
    found = audit(shop, tmp_path)
    told = found.document()["stop"]
    assert (told["given"], told["looked"], told["reason"]) == (GIVEN, found.n, "confirmed")
    assert told["meaning"] == found.stop.sentence
    assert told["looks"][-1] == {"units": found.n, "bounds": list(found.stop.looks[-1].bounds)}
    assert AUDITS.read(AUDITS.write(found, tmp_path / "audit.json")).stop == found.stop
    fixed = audit(shop, tmp_path, stop=False)
    assert (fixed.stop, fixed.document()["stop"], fixed.n) == (None, None, GIVEN)


def test_an_interrupted_audit_goes_on_in_the_same_order(shop, tmp_path):
    server = shop[0]
    before = server.account.paid
    seen = []

    def fail(picture, *_):
        seen.append(picture.name)
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        audit(shop, tmp_path, on_picture=fail)
    drawn = server.account.paid - before
    found = audit(shop, tmp_path)
    assert found.verdict == "confirmed"
    assert 0 < drawn <= server.account.paid - before == DRAWS * found.n < DRAWS * GIVEN
    assert set(seen) <= {one.name for one in found.pictures}


def test_a_budget_that_all_photographs_would_exceed_buys_nothing(shop, tmp_path):
    before = shop[0].account.paid
    with pytest.raises(BudgetError):
        audit(shop, tmp_path, max_cost=0.01)
    assert shop[0].account.paid == before


def test_photographs_that_were_added_come_after_those_that_were_looked_at(shop, tmp_path):
    first = audit(shop, tmp_path, shop[3][8:12], alpha=0.3)
    second = audit(shop, tmp_path, alpha=0.3)
    assert second.stop.looks[0].units == first.n == 4
    assert second.stop.looks[0].bounds == first.stop.looks[-1].bounds


def test_tiles_of_a_photograph_are_drawn_together(shop, tmp_path):
    tiles = {path.stem: f"whole {index // 2}" for index, path in enumerate(shop[3])}
    found = audit(shop, tmp_path, tiles=tiles)
    assert found.verdict == "confirmed"
    assert found.n == 2 * found.units == 2 * found.stop.looked < GIVEN
    assert found.stop.given == GIVEN // 2


def test_a_vendor_whose_trusted_pixels_are_all_wrong_is_contradicted_before_the_last_photograph():
    calibration, alpha, given = calibration_of(curves(0, 40)), 0.3, 100
    rule = calibration.rule()
    thresholds = [rule.threshold(calibration.curves, alpha)]
    rng = np.random.default_rng(1)
    stopping, pictures = Stopping(calibration, rule, [alpha], None), []
    needed = stopping.needed(given)
    while stopping.reason is None:
        scores, errors = maps(rng)
        pictures.append(audited_picture(f"a{len(pictures)}", scores, np.ones_like(errors), thresholds))
        stopping.look(pictures)
    assert needed <= len(pictures) < given
    stop = stopping.stop(given)
    found = conclude(calibration, rule, [alpha], pictures, stop=stop)
    judgement = found.levels[0].judgement
    assert (stop.reason, found.verdict, judgement.verdict) == ("contradicted",) * 3
    assert judgement.p_value == 1, "random splits are no test at a number that results decided"
    assert judgement.p_promise <= stop.share
    assert "were the guarantee to hold" in found.levels[0].meaning


def test_a_bound_of_the_picture_that_proves_wrong_ends_the_audit():
    calibration = calibration_of(curves(0, 40))
    rule = calibration.rule()
    thresholds = [rule.threshold(calibration.curves, 0.3)]
    stopping = Stopping(calibration, rule, [0.3], None)
    stopping.look([audited_picture("a", *maps(np.random.default_rng(1)), thresholds, broken=True)])
    assert stopping.reason == "contradicted"


SIZE = (200, 300)


def offer(crops, alpha, loss, name, row=0, column=0, error=0.5):
    rng = np.random.default_rng(abs(hash(name)) % 1000)
    delivered, truth = (rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(2))
    mask = rng.random(SIZE) < 0.5
    place = PixelPlace(row, column, error)
    crops.offer(alpha, loss, error, Crop.around(place, name, f"digest of {name}", (delivered, truth), mask))
    return delivered, truth, mask


def test_the_largest_losses_of_each_level_are_kept_in_order():
    crops = WorstCrops(3)
    losses = np.random.default_rng(0).permutation(20) / 20
    for index, loss in enumerate(losses):
        offer(crops, 0.1, loss, f"n{index}")
        offer(crops, 0.2, 1 - loss, f"n{index}")
    order = np.argsort(-losses)
    assert [crop.name for crop in crops.of(0.1)] == [f"n{index}" for index in order[:3]]
    assert [crop.name for crop in crops.of(0.2)] == [f"n{index}" for index in order[::-1][:3]]
    assert crops.of(0.3) == []


def test_equal_losses_go_by_the_error_there():
    crops = WorstCrops(1)
    offer(crops, 0.1, 0.5, "small", error=0.2)
    offer(crops, 0.1, 0.5, "large", error=0.9)
    offer(crops, 0.1, 0.5, "middle", error=0.5)
    assert [crop.name for crop in crops.of(0.1)] == ["large"]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (100, 150), (199, 299), (10, 290)])
def test_a_crop_holds_the_pixels_around_its_place(row, column):
    crops = WorstCrops(1)
    delivered, truth, mask = offer(crops, 0.1, 0.4, "one", row, column)
    crop = crops.of(0.1)[0]
    rows, columns = slice(crop.row, crop.row + CROP_SIDE), slice(crop.column, crop.column + CROP_SIDE)
    assert crop.row <= row < crop.row + CROP_SIDE
    assert crop.column <= column < crop.column + CROP_SIDE
    np.testing.assert_array_equal(crop.delivered, delivered[rows, columns])
    np.testing.assert_array_equal(crop.photograph, truth[rows, columns])
    np.testing.assert_array_equal(crop.mask, mask[rows, columns])
    assert crop.delivered.base is not delivered, "a picture of a hundred megabytes is not held for its crop"


def test_files_hold_the_crops_to_the_last_bit_and_carry_their_level_and_rank(tmp_path):
    crops = WorstCrops(2)
    for index, name in enumerate(("../evil", "b", "c")):
        offer(crops, 0.1, index / 10, name, row=50, column=60)
    found = crops.write(tmp_path / "crops")
    assert set(found) == {(0.1, "digest of c"), (0.1, "digest of b")}
    written = sorted(path.name for path in (tmp_path / "crops").iterdir())
    assert written == sorted(path.name for paths in found.values() for path in paths.values())
    assert all(path.resolve().parent == (tmp_path / "crops").resolve() for p in found.values() for path in p.values())
    for rank, crop in enumerate(crops.of(0.1), 1):
        paths = found[0.1, crop.truth]
        assert paths["delivered"].name.startswith(f"alpha-0.1-{rank:02d}-{crop.name}")
        np.testing.assert_array_equal(np.asarray(Image.open(paths["delivered"])), crop.delivered)
        np.testing.assert_array_equal(np.asarray(Image.open(paths["truth"])), crop.photograph)
        np.testing.assert_array_equal(np.asarray(Image.open(paths["mask"])), crop.mask)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path):
    crops = WorstCrops(2)
    offer(crops, 0.1, 0.3, "a")
    offer(crops, 0.1, 0.2, "b")
    last = crops.write(tmp_path)[0.1, "digest of b"]["mask"]
    assert crops.write(tmp_path), "the same again is no change"
    for path in tmp_path.iterdir():
        path.unlink()
    last.write_bytes(b"mine")
    with pytest.raises(UsageError, match="--force"):
        crops.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [last.name]
    crops.write(tmp_path, force=True)
    assert last.read_bytes() != b"mine"


def test_none_are_kept_when_none_are_asked_for(tmp_path):
    crops = WorstCrops(0)
    offer(crops, 0.1, 0.3, "a")
    assert (crops.of(0.1), crops.write(tmp_path / "none")) == ([], {})
    assert not (tmp_path / "none").exists()
