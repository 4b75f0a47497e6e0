"""Verdicts: known answers, coverage of the bounds, and what 100 simulated audits say of good and bad calibrations."""

import math
from functools import cache

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import LEVEL
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
from blackbox_conformal.method.risk.curve_set import CurveSet, mean_of_clusters
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


def curves(material):
    scores, losses = material.reshape(2, -1)
    offsets, nothing = np.arange(material.shape[1] + 1) * STEPS, np.empty(0, np.float32)
    return CurveSet(offsets, scores, losses, np.zeros_like(offsets), nothing, nothing, 1.0)


def audited(seed, m, *, shift=0.0, slope=1.0):
    rng = np.random.default_rng(seed)
    known, new = photographs(rng, N), photographs(rng, m, slope)
    calibrating = curves(known)
    threshold = Expected().threshold(calibrating, ALPHA) + shift
    losses = curves(new).losses_at(threshold)
    resplit = None
    if losses.mean() > ALPHA:
        resplit = resplit_risks(Expected(), curves(np.hstack([known, new])), N, [ALPHA], seed)[:, 0]
    return judge(losses, ALPHA, 1.0, resplit, known=calibrating.losses_at(threshold))


@cache
def rates(m, **planted):
    count = PLANTED if planted else SIMULATIONS
    verdicts = [audited(seed, m, **planted).verdict for seed in range(count)]
    return {name: verdicts.count(name) / count for name in EXPLAINED}


@pytest.mark.parametrize("m", [15, 60, 400])
def test_good_calibrations_are_contradicted_rarely(m):
    assert rates(m)["contradicted"] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)


def test_good_calibrations_are_confirmed_by_enough_photographs():
    assert rates(400)["confirmed"] >= 0.9


@pytest.mark.parametrize("planted", [{"shift": 0.09}, {"slope": 1.4}], ids=["shifted threshold", "foreign vendor"])
def test_a_broken_promise_is_contradicted(planted):
    found = rates(60, **planted)
    assert found["contradicted"] >= 0.9
    assert found["confirmed"] == 0


def test_a_vendor_that_is_a_little_worse_is_called_different():
    """Errors a fifth larger: the mean risk is hardly above the level, so few audits show a broken promise."""
    found = rates(60, slope=1.2)
    assert found["shifted"] + found["contradicted"] >= 0.9
    assert found["confirmed"] == 0


def test_a_better_vendor_is_not_contradicted():
    found = rates(400, slope=0.7)
    assert found["contradicted"] == 0
    assert found["confirmed"] >= 0.99


def test_one_photograph_confirms_nothing():
    assert judge(np.zeros(1), 0.1, 1.95).verdict == "inconclusive"


def test_verdict_follows_from_risk_interval_and_p_value():
    losses = np.full(50, 0.3)
    never, always = np.full(999, 0.1), np.full(999, 0.5)
    found = judge(losses, 0.2, 1.0, never)
    assert (found.verdict, found.p_value) == ("contradicted", 0.001)
    assert 0.2 < found.interval[0] < found.risk < found.interval[1] < 0.45
    assert judge(losses, 0.2, 1.0, always).p_value == 1.0
    assert judge(losses, 0.2, 1.0, always).verdict == "inconclusive"
    assert judge(losses, 0.2, 1.0, None).verdict == "inconclusive"
    assert judge(losses, 0.6, 1.0, never).verdict == "confirmed"


def test_interval_scales_with_the_bound():
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
    assert overall([mild]) == "contradicted"
    assert overall([mild, good]) == "inconclusive"
    assert overall([strong, good, good, good, good]) == "contradicted"
    assert overall([shifted, good]) == "shifted"
    assert overall([apart, good]) == "shifted", "different at the shared level, broken only by itself"
    assert overall([shifted, strong]) == "contradicted"
    assert overall([good, good]) == "confirmed"
    assert overall([good, unsure]) == "inconclusive"
    assert overall([]) == "inconclusive", "where nothing is trusted nothing is confirmed"
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
    assert f"5 photographs cannot confirm it, whatever they show; at least {found.fewest} are needed." in meaning(
        found, 0.1
    )
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
        return in_short(
            "inconclusive", [(Judgement(risk, interval, 1.0, 1.0, verdict, further, n=n, fewest=fewest), 0.2)]
        )

    begin = "not yet confirmed: 26"
    assert told(0.1, (0.05, 0.21), 30) == f"{begin} of about 56 photographs, no sign against it"
    assert told(0.1, (0.0, 0.6), 50, n=8, fewest=14).endswith("8 of at least 14 photographs, no sign against it")
    hardly = "photographs, a risk of 0.204 against 0.2; more will hardly tell"
    assert told(0.204, (0.15, 0.27), 69_000) == told(0.204, (0.15, 0.27), None) == f"{begin} {hardly}"
    assert told(0.199, (0.15, 0.27), 69_000) == f"{begin} {hardly.replace('0.204', '0.199')}"
    assert told(0.26, (0.15, 0.4), 100).endswith("a risk of 0.26 against 0.2; about 130 would tell")
    assert told(0.3, (0.21, 0.4), None).endswith("a risk of 0.3 against 0.2; calibrate on more")
    assert told(0.3, (0.15, 0.4), None, verdict="shifted").endswith("a risk of 0.3 against 0.2; new ones would tell")
    assert (
        told(0.5, (0.1, 0.9), 9, n=1)
        == "not yet confirmed: 1 photograph, a risk of 0.5 against 0.2; about 10 would tell"
    )


def test_of_several_levels_the_verdict_in_short_is_of_the_hardest_and_of_those_above_first():
    good = Judgement(0.01, (0.0, 0.05), 1.0, 1.0, "confirmed", n=26)
    soon, late = (Judgement(0.1, (0.05, 0.25), 1.0, 1.0, "inconclusive", more, n=26) for more in (10, 200))
    over = Judgement(0.32, (0.2, 0.4), 1.0, 1.0, "inconclusive", 90, n=26)
    assert in_short("inconclusive", [(good, 0.1), (soon, 0.2), (late, 0.15)]).endswith(
        "26 of about 230 photographs, no sign against it"
    )
    assert in_short("inconclusive", [(good, 0.1), (late, 0.2), (over, 0.3)]).endswith(
        "0.32 against 0.3; about 120 would tell"
    )
    assert in_short("confirmed", [(good, 0.1)]) == "confirmed"
    assert in_short("inconclusive", []) == "nothing is trusted, so nothing was tested"


LOSSES = np.array([0.0, 0.1, 0.1000001, 0.5])
TILES = ("one", "two", "one", "one")


def test_guarantees_of_a_mean_are_about_the_losses_themselves():
    for rule in (Expected(), FalseTrust(), HighProbability(), Expected(leaked=2), Expected(bound_from="delivered")):
        found = claim(rule, LOSSES, 0.1, 1.95)
        assert (found.level, found.bound) == (0.1, 1.95)
        assert (found.losses == LOSSES).all()


def test_per_image_is_about_the_share_beyond_the_tolerance():
    found = claim(PerImage(delta=0.25), LOSSES, 0.1, 1.95)
    assert (found.level, found.bound) == (0.25, 1.0)
    assert found.losses.tolist() == [0, 0, 1, 1]


def test_a_group_claims_what_the_guarantee_within_claims():
    rule = ByGroup(of="per-image", parameters={"delta": 0.5}, groups=("a", "b"), group_new="a")
    found = claim(rule, LOSSES, 0.1, 1.95)
    assert (found.level, found.losses.tolist()) == (0.5, [0, 0, 1, 1])


@pytest.mark.parametrize("of", ["expected", "false-trust", "high-probability"])
def test_tiles_of_a_photograph_count_once(of):
    found = claim(ByCluster(of=of, clusters=("x", "x", "y")), LOSSES, 0.2, 1.5, TILES)
    assert (found.level, found.bound) == (0.2, 1.5)
    assert found.losses == pytest.approx([np.mean(LOSSES[[0, 2, 3]]), LOSSES[1]])


def test_a_group_of_tiles_is_both():
    inner = {"of": "expected", "parameters": {}, "clusters": ("x", "x", "y")}
    rule = ByGroup(of="by-cluster", parameters=inner, groups=("a", "a", "b"), group_new="a")
    found = claim(rule, LOSSES, 0.2, 1.5, TILES)
    assert found.losses == pytest.approx([np.mean(LOSSES[[0, 2, 3]]), LOSSES[1]])
    assert isinstance(rule.innermost, Expected)
    assert quantity(rule, TILES).startswith("within group 'a', the mean over photographs, each the mean over its tiles")


def test_audited_tiles_count_once_whatever_was_calibrated():
    assert claim(Expected(), LOSSES, 0.2, 1.5, TILES).losses.size == 2


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
