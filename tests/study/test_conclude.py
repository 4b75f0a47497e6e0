"""From audited pictures to the audit: figures from maps, tiles, refusals, bounds of the picture, and error rates."""

import math

import numpy as np
import pytest
from support.audit_material import audited_picture, calibration_of, curve_of, curves, maps, refused_picture

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.permutation import resplit_risks
from blackbox_conformal.method.audits.sequential import AuditLook, AuditStop
from blackbox_conformal.method.audits.verdict import EXPLAINED, judge
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.audit.conclude import conclude

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
    assert found.leakage.points[0].risk == pytest.approx(found.levels[0].judgement.risk)
    assert found.notes == ()


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
