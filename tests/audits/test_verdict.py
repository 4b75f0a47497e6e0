"""Verdicts, kinds and worst photographs: known answers, and what simulated audits say of good and bad calibrations."""

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import verdict_rates
from support.audit_material import alike, audited_picture, calibration_of, curves, maps, refused_picture
from verdict_rates import binary, dire, heavy, ties, varied

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.audits.kinds import WORST_RANGE, AtLevel, KindRisk, kind_risks, kind_rows, kinds_in_words
from blackbox_conformal.method.audits.permutation import resplit_risks
from blackbox_conformal.method.audits.verdict import (
    EXPLAINED,
    FIXED,
    Judgement,
    about,
    claim,
    in_short,
    judge,
    meaning,
    overall,
    quantity,
)
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.images.input_statistics import InputKind
from blackbox_conformal.method.risk.curve_set import CurveSet, mean_of_clusters
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study.audit.conclude import calibrated_kinds, conclude
from blackbox_conformal.support.wording import at_least, at_most

SIMULATIONS = 100
PLANTED = 40
"""Audits of what must be noticed nearly always; each recalibrates a thousand times."""

N, ALPHA = 40, 0.2
STEPS = 16


def photographs(rng, count, easier=1.0):
    """Scores and losses, (count, STEPS) each: how fast losses grow differs from photograph to photograph; bound 1."""
    slopes = rng.uniform(0.8, 1.2, (count, 1)) * easier
    scores = np.linspace(0.02, 1, STEPS) * rng.uniform(0.97, 1.03, (count, 1))
    losses = np.minimum(np.linspace(0.03, 0.9, STEPS) * slopes, 1 - 1e-3 * (STEPS - np.arange(STEPS)))
    return np.stack([scores, losses]).astype(np.float32)


def of_material(material):
    scores, losses = material.reshape(2, -1)
    offsets, nothing = np.arange(material.shape[1] + 1) * STEPS, np.empty(0, np.float32)
    return CurveSet(offsets, scores, losses, np.zeros_like(offsets), nothing, nothing, 1.0)


def audited(seed, m, *, shift=0.0, slope=1.0):
    rng = np.random.default_rng(seed)
    known, new = photographs(rng, N), photographs(rng, m, slope)
    calibrating = of_material(known)
    threshold = Expected().threshold(calibrating, ALPHA) + shift
    losses = of_material(new).losses_at(threshold)
    resplit = None
    if losses.mean() > ALPHA:
        resplit = resplit_risks(Expected(), of_material(np.hstack([known, new])), N, [ALPHA], seed)[:, 0]
    return judge(losses, ALPHA, 1.0, resplit, known=calibrating.losses_at(threshold))


@cache
def rates(m, **planted):
    count = PLANTED if planted else SIMULATIONS
    verdicts = [audited(seed, m, **planted).verdict for seed in range(count)]
    return {name: verdicts.count(name) / count for name in EXPLAINED}


@pytest.mark.parametrize("m", [15, 60, 400])
def test_good_calibrations_are_contradicted_rarely(m):
    assert rates(m)["contradicted"] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)


def test_good_calibrations_are_confirmed_a_little_worse_vendor_is_called_different_and_a_better_one_is_not():
    """Errors a fifth larger: the mean risk is hardly above the level, so few audits show a broken promise."""
    assert rates(400)["confirmed"] >= 0.9
    worse, better = rates(60, slope=1.2), rates(400, slope=0.7)
    assert worse["shifted"] + worse["contradicted"] >= 0.9
    assert worse["confirmed"] == better["contradicted"] == 0
    assert better["confirmed"] >= 0.99


@pytest.mark.parametrize("planted", [{"shift": 0.09}, {"slope": 1.4}], ids=["shifted threshold", "foreign vendor"])
def test_a_broken_promise_is_contradicted(planted):
    found = rates(60, **planted)
    assert found["contradicted"] >= 0.9
    assert found["confirmed"] == 0


def test_verdict_follows_from_risk_interval_and_p_value():
    losses = np.full(50, 0.3)
    never, always = np.full(999, 0.1), np.full(999, 0.5)
    found = judge(losses, 0.2, 1.0, never)
    assert (found.verdict, found.p_value) == ("contradicted", 0.001)
    assert 0.2 < found.interval[0] < found.risk < found.interval[1] < 0.45
    assert judge(losses, 0.2, 1.0, always).p_value == 1.0
    assert judge(losses, 0.6, 1.0, never).verdict == "confirmed"
    unsure = judge(losses, 0.2, 1.0, always), judge(losses, 0.2, 1.0, None), judge(np.zeros(1), 0.1, 1.95)
    assert [one.verdict for one in unsure] == ["inconclusive"] * 3
    losses = np.random.default_rng(5).uniform(0, 1, 30)
    small, large = judge(losses, 0.9, 1.0), judge(losses * 1.95, 0.9 * 1.95, 1.95)
    assert large.interval == pytest.approx([1.95 * end for end in small.interval])
    assert large.verdict == small.verdict


def test_overall_shares_the_error_level_between_the_levels():
    mild = Judgement(0.3, (0.2, 0.4), 0.04, 0.04, "contradicted")
    strong = Judgement(0.3, (0.2, 0.4), 0.001, 0.001, "contradicted")
    apart = Judgement(0.3, (0.2, 0.4), 0.001, 0.04, "contradicted")
    shifted = Judgement(0.3, (0.1, 0.4), 0.001, 0.2, "shifted")
    good = Judgement(0.1, (0.05, 0.15), 1.0, 1.0, "confirmed")
    unsure = Judgement(0.1, (0.05, 0.25), 1.0, 1.0, "inconclusive")
    for levels, verdict in (
        ([mild], "contradicted"),
        ([mild, good], "inconclusive"),
        ([strong, good, good, good, good], "contradicted"),
        ([shifted, good], "shifted"),
        # Different at the shared level, broken only by itself.
        ([apart, good], "shifted"),
        ([shifted, strong], "contradicted"),
        ([good, good], "confirmed"),
        ([good, unsure], "inconclusive"),
        # Where nothing is trusted nothing is confirmed.
        ([], "inconclusive"),
    ):
        assert overall(levels) == verdict
    assert overall([mild], 2) == "inconclusive", "a level that was not tested still shares the error level"
    assert overall([good], 5) == "confirmed"


def test_an_inconclusive_verdict_names_what_would_settle_it():
    found = judge(np.full(30, 0.05), 0.1, 1.0)
    assert found.verdict == "inconclusive"
    told = meaning(found, 0.1)
    assert f"About {about(found.further)} further photographs would confirm it if they err as these do." in told
    assert at_most(found.interval[1]) in told
    above = judge(np.random.default_rng(0).uniform(0, 0.3, 30), 0.12, 1.0, np.full(999, 0.9))
    assert above.verdict == "inconclusive"
    assert "no more than chance explains" in meaning(above, 0.12)
    sure = judge(np.full(500, 0.15), 0.12, 1.0, np.full(999, 0.9))
    assert sure.further is None
    assert "Calibrate on more photographs" in meaning(sure, 0.12)
    never = Judgement(0.1, (0.05, 0.2), 1.0, 1.0, "inconclusive")
    assert "No practical number" in meaning(never, 0.1)


def test_so_few_photographs_that_none_could_confirm_are_told_how_many_could():
    found = judge(np.full(5, 0.05), 0.1, 1.0)
    assert found.fewest is not None
    assert judge(np.zeros(found.fewest), 0.1, 1.0).verdict == "confirmed"
    assert judge(np.zeros(found.fewest - 1), 0.1, 1.0).verdict == "inconclusive"
    assert f"5 photographs cannot confirm it, whatever they show; at least {found.fewest} " in meaning(found, 0.1)
    enough = judge(np.full(found.fewest, 0.08), 0.1, 1.0)
    assert (enough.verdict, enough.fewest) == ("inconclusive", None)
    assert "cannot confirm" not in meaning(enough, 0.1)


def test_the_other_verdicts_say_their_numbers():
    confirmed = judge(np.zeros(200), 0.1, 1.0)
    assert f"at most {at_most(confirmed.interval[1])}, so not above 0.1" in meaning(confirmed, 0.1)
    contradicted = judge(np.full(50, 0.3), 0.2, 1.0, np.full(999, 0.1))
    told = meaning(contradicted, 0.2)
    assert "only 0.1 % of random splits" in told
    assert f"is at least {at_least(contradicted.interval[0])}, so above 0.2" in told
    shifted = judge(np.full(5, 0.3), 0.2, 1.0, np.full(999, 0.1))
    assert (shifted.verdict, shifted.further) == ("shifted", None)
    told = meaning(shifted, 0.2)
    assert f"may be as low as {at_least(shifted.interval[0])}, which is not above 0.2" in told
    assert "so they differ" in told
    lucky = Judgement(0.3, (0.25, 0.4), 0.001, 0.2, "shifted")
    assert "by no more than the luck of a calibration explains" in meaning(lucky, 0.2)
    assert set(EXPLAINED) == {"confirmed", "inconclusive", "shifted", "contradicted"}
    assert "fixed before looking" in FIXED


def test_an_estimate_is_said_with_two_digits():
    said = {7: "7", 84: "84", 95: "95", 101: "100", 149: "150", 996: "1000", 1049: "1000", 9950: "10 000"}
    said |= {149362: "150 000", 1_234_567: "1 200 000"}
    assert {number: about(number) for number in said} == said


def test_the_verdict_in_short_says_how_far_it_is_from_settled():
    def told(risk, interval, further, n=26, verdict="inconclusive", fewest=None):
        level = Judgement(risk, interval, 1.0, 1.0, verdict, further, n=n, fewest=fewest)
        return in_short("inconclusive", [(level, 0.2)])

    begin = "not yet confirmed: 26"
    assert told(0.1, (0.05, 0.21), 30) == f"{begin} of about 56 photographs, no sign against it"
    assert told(0.1, (0.0, 0.6), 50, n=8, fewest=14).endswith("8 of at least 14 photographs, no sign against it")
    hardly = "photographs, a risk of 0.204 against 0.2; more will hardly tell"
    assert told(0.204, (0.15, 0.27), 69_000) == told(0.204, (0.15, 0.27), None) == f"{begin} {hardly}"
    assert told(0.199, (0.15, 0.27), 69_000) == f"{begin} {hardly.replace('0.204', '0.199')}"
    assert told(0.26, (0.15, 0.4), 100).endswith("a risk of 0.26 against 0.2; about 130 would tell")
    assert told(0.3, (0.21, 0.4), None).endswith("a risk of 0.3 against 0.2; calibrate on more")
    assert told(0.3, (0.15, 0.4), None, verdict="shifted").endswith("a risk of 0.3 against 0.2; new ones would tell")
    said = "not yet confirmed: 1 photograph, a risk of 0.5 against 0.2; about 10 would tell"
    assert told(0.5, (0.1, 0.9), 9, n=1) == said


def test_of_several_levels_the_verdict_in_short_is_of_the_hardest_and_of_those_above_first():
    good = Judgement(0.01, (0.0, 0.05), 1.0, 1.0, "confirmed", n=26)
    soon, late = (Judgement(0.1, (0.05, 0.25), 1.0, 1.0, "inconclusive", more, n=26) for more in (10, 200))
    over = Judgement(0.32, (0.2, 0.4), 1.0, 1.0, "inconclusive", 90, n=26)
    for levels, said in (
        ([(good, 0.1), (soon, 0.2), (late, 0.15)], "26 of about 230 photographs, no sign against it"),
        ([(good, 0.1), (late, 0.2), (over, 0.3)], "0.32 against 0.3; about 120 would tell"),
    ):
        assert in_short("inconclusive", levels).endswith(said)
    assert in_short("confirmed", [(good, 0.1)]) == "confirmed"
    assert in_short("inconclusive", []) == "nothing is trusted, so nothing was tested"


LOSSES = np.array([0.0, 0.1, 0.1000001, 0.5])
TILES = ("one", "two", "one", "one")


def test_guarantees_of_a_mean_are_about_the_losses_themselves():
    for rule in (Expected(), FalseTrust(), HighProbability(), Expected(leaked=2), Expected(bound_from="delivered")):
        found = claim(rule, LOSSES, 0.1, 1.95)
        assert (found.level, found.bound) == (0.1, 1.95)
        assert (found.losses == LOSSES).all()


def test_per_image_is_about_the_share_beyond_the_tolerance_within_a_group_too():
    grouped = ByGroup(of="per-image", parameters={"delta": 0.25}, groups=("a", "b"), group_new="a")
    for rule in (PerImage(delta=0.25), grouped):
        found = claim(rule, LOSSES, 0.1, 1.95)
        assert (found.level, found.bound, found.losses.tolist()) == (0.25, 1.0, [0, 0, 1, 1])


def test_tiles_of_a_photograph_count_once_in_a_group_and_whatever_was_calibrated():
    inner = {"of": "expected", "parameters": {}, "clusters": ("x", "x", "y")}
    grouped = ByGroup(of="by-cluster", parameters=inner, groups=("a", "a", "b"), group_new="a")
    plain = [ByCluster(of=of, clusters=("x", "x", "y")) for of in ("expected", "false-trust", "high-probability")]
    for rule in (*plain, grouped, Expected()):
        found = claim(rule, LOSSES, 0.2, 1.5, TILES)
        assert (found.level, found.bound) == (0.2, 1.5)
        assert found.losses == pytest.approx([np.mean(LOSSES[[0, 2, 3]]), LOSSES[1]])
    assert isinstance(grouped.innermost, Expected)
    said = "within group 'a', the mean over photographs, each the mean over its tiles"
    assert quantity(grouped, TILES).startswith(said)


def test_the_quantity_is_said_in_words():
    assert quantity(Expected()) == "the mean over photographs of the largest error of a trusted pixel"
    assert "share of photographs with a trusted pixel whose error is above alpha" in quantity(PerImage(delta=0.05))
    assert "at most 0.05" in quantity(PerImage(delta=0.05))
    assert "trusted with a lab-l1 error above 0.1" in quantity(FalseTrust(tolerance=0.1), error="lab-l1 error")
    assert "all but 0.2 of the calibration sets" in quantity(HighProbability(delta=0.2))
    assert "over its tiles" in quantity(ByCluster(clusters=("x", "y")), TILES)


class Foreign(Guarantee):
    """A guarantee of somebody else."""


@pytest.mark.parametrize(
    ("rule", "clusters", "match"),
    [
        (ByCluster(clusters=("x", "y")), None, "--tiles FILE"),
        (PerImage(), TILES, "Audit one picture of each photograph"),
        (ByGroup(of="per-image", groups=("a",), group_new="a"), TILES, "one picture of each photograph"),
        (Expected(bound_new=lambda t: 0.1), None, "bound_from=delivered"),
        (Foreign(), None, "Foreign does not say which mean"),
    ],
)
def test_what_claims_nothing_is_refused_with_a_way_out(rule, clusters, match):
    with pytest.raises(UsageError, match=match):
        claim(rule, LOSSES, 0.1, 1.0, clusters)
    with pytest.raises(UsageError, match=match):
        quantity(rule, clusters)


def test_the_mean_of_clusters_follows_their_first_appearance():
    rng = np.random.default_rng(0)
    values = rng.random(50)
    names = [f"photograph {k}" for k in rng.integers(0, 9, 50)]
    naive = [np.mean([v for v, own in zip(values, names, strict=True) if own == name]) for name in dict.fromkeys(names)]
    assert mean_of_clusters(values, names) == pytest.approx(naive, rel=1e-12)
    with pytest.raises(UsageError, match="one cluster for each of 50 pictures; got 49"):
        mean_of_clusters(values, names[1:])


class Median(Foreign):
    """A guarantee of somebody else that says which mean it bounds."""

    def claim(self, losses, alpha, bound):
        """Half of all photographs are within alpha."""
        return Claim((losses > alpha).astype(np.float64), 0.5, 1.0)

    def quantity(self, unit, error="error"):
        """In words."""
        return f"the share of {unit} beyond alpha"


def test_a_guarantee_of_somebody_else_is_asked_for_its_claim():
    found = claim(Median(), LOSSES, 0.1, 1.95)
    assert (found.level, found.bound, found.losses.tolist()) == (0.5, 1.0, [0, 0, 1, 1])
    assert quantity(Median()) == "the share of photographs beyond alpha"
    assert Median().allowing_leaked(1) is None
    assert not Median().holds_on_average


AT_MOST = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)


@pytest.mark.parametrize(
    ("population", "n", "m", "hard", "harder", "before"),
    [(ties, 40, 200, 0.1, 0.36, 0.4), (varied, 20, 60, 0.1, 0.3, 0.15)],
    ids=["40 and 200", "20 and 60"],
)
def test_a_shift_that_keeps_the_promise_does_not_contradict_it(population, n, m, hard, harder, before):
    found = verdict_rates.rates(population, n, m, hard, harder, audits=SIMULATIONS)
    assert 0.08 < found.true_risk < verdict_rates.ALPHA, "the promise is kept, with little to spare"
    assert found.different > before, "a difference alone is no broken promise: so often it was called one"
    assert found.contradicted <= AT_MOST
    assert found.shifted == pytest.approx(found.different - found.contradicted)


def test_a_shift_that_breaks_the_promise_contradicts_it():
    found = verdict_rates.rates(ties, 40, 60, 0.0, 1.0, audited=dire, audits=40)
    assert found.true_risk == pytest.approx(0.37, abs=0.01)
    assert found.contradicted == 1.0


@pytest.mark.parametrize("population", [ties, varied, binary, heavy])
@pytest.mark.parametrize(("n", "m"), [(20, 15), (40, 60)])
def test_good_populations_are_rarely_shifted_or_contradicted(population, n, m):
    found = verdict_rates.rates(population, n, m, 0.2, audits=SIMULATIONS)
    assert found.true_risk <= verdict_rates.ALPHA
    assert found.contradicted <= AT_MOST
    assert found.contradicted + found.shifted <= AT_MOST


def test_a_claim_about_the_calibration_at_hand_allows_no_luck_of_the_calibration():
    """Splits that vary widely around a low mean excuse an excess only where the claim averages over calibrations."""
    rng = np.random.default_rng(0)
    losses = rng.uniform(0.1, 0.3, 200)
    resplit = np.r_[rng.uniform(0.0, 0.02, 900), np.full(99, 0.19)][rng.permutation(999)]
    resplit = np.where(np.arange(999) < 960, np.minimum(resplit, 0.19), resplit)
    over_calibrations = judge(losses, 0.15, 1.0, resplit)
    of_this_one = judge(losses, 0.15, 1.0, resplit, averages=False)
    assert over_calibrations.p_value == of_this_one.p_value <= LEVEL
    assert over_calibrations.interval[0] > 0.15
    assert (over_calibrations.verdict, of_this_one.verdict) == ("shifted", "contradicted")


def test_contradicted_follows_from_the_lower_end():
    """The p-value of the bet and the lower end of the interval are one and the same test."""
    never = np.full(999, 0.01)
    for count in range(5, 60, 3):
        found: Judgement = judge(np.full(count, 0.2), 0.1, 1.0, never)
        assert (found.verdict == "contradicted") == (found.interval[0] > 0.1)
        assert found.verdict in ("shifted", "contradicted")


def audit(thresholds=(0.3, 0.8)):
    rng = np.random.default_rng(1)
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(9)]
    pictures.append(refused_picture("refused", thresholds))
    return Audit(10, 10, "", (), "inconclusive", tuple(pictures))


def test_the_worst_come_first_and_show_a_place():
    found = audit()
    for level in range(2):
        losses = sorted((one.losses[level] for one in found.pictures if not one.refused), reverse=True)
        shown = found.worst(level, 4)
        assert [one.losses[level] for one in shown] == losses[:4]
        assert all(one.worst[level].error == one.losses[level] for one in shown)
        assert all(one.name != "refused" for one in found.worst(level, 100)), "it has no pixel to show"
    assert found.worst(0, 0) == []
    assert [one.refused for one in found.pictures] == [False] * 9 + [True]


def test_a_share_of_wrong_pixels_counts_before_the_error_at_one():
    rng = np.random.default_rng(3)
    pictures = [audited_picture(f"a{k}", *maps(rng), (0.3, 0.8), tolerance=0.2) for k in range(9)]
    shown = Audit(9, 9, "", (), "inconclusive", tuple(pictures)).worst(1, 9)
    losses = [one.losses[1] for one in shown]
    assert losses == sorted(losses, reverse=True)
    errors = [one.worst[1].error for one in shown]
    assert errors != sorted(errors, reverse=True), "the two orders differ, or nothing was tested"


def test_equal_losses_are_ordered_by_error_then_name():
    found = audit()
    first, second, third = found.pictures[:3]
    place = first.worst[0]
    same = tuple(
        replace(one, name=name, losses=(0.5, 0.5), worst=(replace(place, error=error),) * 2)
        for one, name, error in ((first, "b", 0.2), (second, "c", 0.7), (third, "a", 0.2))
    )
    assert [one.name for one in replace(found, pictures=same).worst(0, 3)] == ["c", "a", "b"]


def test_a_level_at_which_nothing_is_trusted_was_not_tested():
    calibration = calibration_of(curves(0, 12))
    rng = np.random.default_rng(2)
    levels = [0.05, 0.4]
    thresholds = [calibration.threshold(alpha) for alpha in levels]
    assert thresholds[0] == -math.inf < thresholds[1]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(300)]
    found = conclude(calibration, calibration.rule(), levels, pictures)
    assert [level.tested for level in found.levels] == [False, True]
    assert [level.judgement.verdict for level in found.levels] == ["inconclusive", "confirmed"]
    assert found.levels[0].judgement.further is None
    assert found.levels[0].sentence.startswith("Nothing can be trusted at 0.05: 12 calibration photographs")
    assert found.levels[1].sentence.startswith("At 0.4: ")
    assert found.verdict == "confirmed", "what trusts nothing speaks neither for nor against it"
    assert conclude(calibration, calibration.rule(), [0.05], pictures).verdict == "inconclusive"


def kind(texture, brightness=100.0, pixels=64):
    return InputKind(texture=float(texture), brightness=float(brightness), pixels=pixels)


def known(count=20, groups=None):
    """A calibration whose photographs have textures 0, 0.5, 1, … and differ in brightness, not in size."""
    calibration = calibration_of(curves(0, count), groups=groups)
    by_name = {f"c{k}": kind(k / 2, 10 * k) for k in range(count)}
    images = tuple(image.model_copy(update={"kind": by_name[image.name]}) for image in calibration.images)
    return replace(calibration, images=images)


def unseen(calibration, levels, *, rough=3.0, count=40):
    """Photographs of which the textured half errs more, up to the bound."""
    rng = np.random.default_rng(1)
    thresholds = [calibration.threshold(level) for level in levels]
    found = []
    for k in range(count):
        picture = audited_picture(f"a{k}", *maps(rng, harder=rough if k % 2 else 0.3), thresholds)
        found.append(replace(picture, kind=kind(9.9 if k % 2 else 0.1, 95)))
    return found


def test_quarters_are_the_calibrations_and_figures_are_plain_means():
    calibration, levels = known(), [0.3, 0.5]
    pictures = unseen(calibration, levels)
    found = conclude(calibration, calibration.rule(), levels, pictures)
    textured = next(one for one in found.kinds if (one.name, one.alpha) == ("textured", 0.3))
    members = [one for one in pictures if one.kind.texture >= np.quantile([k / 2 for k in range(20)], 0.75)]
    assert (textured.n, textured.by, textured.high) == (20, "texture", math.inf)
    assert textured.low == np.quantile([k / 2 for k in range(20)], 0.75)
    assert textured.risk == pytest.approx(np.mean([one.losses[0] for one in members]))
    assert textured.trusted_share == pytest.approx(np.mean([one.shares[0] for one in members]))
    whole = next(level for level in found.levels if level.alpha == 0.3)
    assert textured.interval[0] < textured.risk < textured.interval[1]
    assert textured.risk > whole.judgement.risk
    assert {one.by for one in found.kinds} == {"texture", "brightness"}, "photographs of one size have no quarters"
    assert {one.name for one in found.kinds if one.by == "brightness"} == {"rather bright"}, "of none nothing is shown"


def test_a_kind_above_the_level_is_named_with_what_to_do_and_others_are_not():
    calibration, levels = known(), [0.5]
    bad = conclude(calibration, calibration.rule(), levels, unseen(calibration, levels, rough=9.0, count=120))
    (sentence, advice) = kinds_in_words(bad.kinds)
    textured = next(one for one in bad.kinds if one.name == "textured")
    assert textured.fails
    assert textured.interval[0] > 0.5
    assert sentence.startswith(f"Textured photographs: risk {textured.risk:.3g} at alpha=0.5, above 0.5 (at least ")
    assert "must be named on photographs that were not looked at" in advice
    good = conclude(calibration, calibration.rule(), levels, unseen(calibration, levels, rough=0.3))
    assert kinds_in_words(good.kinds) == []


def test_all_levels_and_kinds_share_the_error_level():
    losses = np.linspace(0, 0.5, 40)
    at = [AtLevel(alpha, Claim(losses, alpha, 1.0), losses) for alpha in (0.1, 0.2, 0.3)]
    textures = {"texture": np.arange(40.0)}
    one_level, three = kind_risks(textures, textures, (), at[:1]), kind_risks(textures, textures, (), at)
    assert len(three) == 3 * len(one_level) == 12
    assert all(three[k].interval[0] < one_level[k].interval[0] for k in range(1, 4))
    assert all(three[k].interval[1] > one_level[k].interval[1] for k in range(3))
    grouped = kind_risks({}, {}, ["sky", None] * 20, at[:1])
    assert [(one.name, one.n) for one in grouped] == [("sky", 20)]
    assert grouped[0].interval[0] > kind_risks(textures, textures, ["sky", None] * 20, at[:1])[-1].interval[0]


def test_tiles_count_once():
    calibration = calibration_of(curves(0, 24))
    images = tuple(image.model_copy(update={"kind": kind(k / 2)}) for k, image in enumerate(calibration.images))
    calibration = replace(calibration, images=images)
    rule = ByCluster(of="expected", clusters=tuple(f"c{k // 2}" for k in range(24)))
    pictures = unseen(calibration, [0.5], count=24)
    tiles = [f"p{k // 4}" for k in range(24)]
    groups = {f"a{k}": "night" if k < 4 else "day" for k in range(24)}
    found = conclude(calibration, rule, [0.5], pictures, clusters=tiles, groups=groups)
    assert {one.name: one.n for one in found.kinds if one.by == "group"} == {"day": 5, "night": 1}
    assert sum(one.n for one in found.kinds if one.by == "texture") == 6
    night = next(one for one in found.kinds if one.name == "night")
    assert night.risk == pytest.approx(np.mean([one.losses[0] for one in pictures[:4]]))


def test_a_calibration_describes_its_own_photographs_without_intervals():
    calibration = known(groups=["a"] * 10 + ["b"] * 10)
    described = calibrated_kinds(calibration, 0.5)
    losses = calibration.curves.losses_at(calibration.threshold(0.5))
    assert all(one.interval is None and not one.fails for one in described)
    assert {one.name: one.n for one in described if one.by == "group"} == {"a": 10, "b": 10}
    quarters = [one for one in described if one.by == "texture"]
    assert sum(one.n * one.risk for one in quarters) == pytest.approx(losses.sum())
    assert calibrated_kinds(calibration, 1e-6) == (), "where nothing is trusted there is nothing to describe"


def test_calibrations_and_audits_of_versions_that_did_not_look_have_no_quarters(tmp_path):
    calibration = calibration_of(curves(0, 20))
    found = conclude(calibration, calibration.rule(), [0.5], unseen(calibration, [0.5]))
    assert found.kinds == ()
    path = AUDITS.write(found, tmp_path / "audit.json")
    content = json.loads(path.read_text())
    del content["kinds"]
    for picture in content["pictures"]:
        del picture["kind"]
    path.write_text(json.dumps(content))
    assert AUDITS.read(path).kinds == ()


def test_files_and_documents_hold_the_kinds(tmp_path):
    calibration, levels = known(), [0.3, 0.5]
    thresholds = [calibration.threshold(level) for level in levels]
    pictures = [*unseen(calibration, levels), replace(refused_picture("r", thresholds), kind=kind(9.9))]
    found = conclude(calibration, calibration.rule(), levels, pictures, groups={"a1": "x"})
    assert alike(AUDITS.read(AUDITS.write(found, tmp_path / "audit.json")), found)
    rows = json.loads(json.dumps(found.document(), allow_nan=False))["kinds"]
    assert rows == kind_rows(found.kinds)
    assert {row["by"] for row in rows} == {"texture", "brightness", "group"}


def test_tables_of_pandas_hold_the_kinds():
    pytest.importorskip("pandas")
    calibration = known()
    found = conclude(calibration, calibration.rule(), [0.5], unseen(calibration, [0.5]))
    assert list(found.to_frame("kinds")["kind"]) == [one.name for one in found.kinds]
    assert "texture" in found.to_frame("photographs")


def test_the_words_of_a_kind():
    one = KindRisk("texture", "textured", 7.1, math.inf, 0.2, 0.2, 30, 0.2171, (0.20004, 0.3), 0.1)
    assert one.sentence == (
        "Textured photographs: risk 0.217 at alpha=0.2, above 0.2 (at least 0.20004 with 95 % confidence, 30 audited)."
    )
    worst = replace(one, name=WORST_RANGE, others=0.1234).sentence
    assert worst.startswith("Photographs with texture from 7.1: risk 0.217 at alpha=0.2, above 0.2 (at least 0.20004 ")
    assert worst.endswith("30 audited); all others 0.123.")
    assert (one.range, replace(one, low=-math.inf, high=2.0).range) == ("texture from 7.1", "texture below 2")
    assert replace(one, by="group", name="sky", low=None, high=None).sentence.startswith("Photographs of group sky: ")
