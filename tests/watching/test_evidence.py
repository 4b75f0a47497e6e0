"""Evidence of change and of harm, its level, and its history: beside plain loops, and with few false alarms."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive.change_point import visit_p_value, wealth
from support.audit_material import calibration_of, curves, detail_curves

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import Claim, guarantee
from blackbox_conformal.watching.level import Level, rank_p_value, tie_of, visit_p_values
from blackbox_conformal.watching.records import (
    Finding,
    FreshMeasurement,
    Visit,
    WatchDraw,
    Watched,
    outcome,
    state_after,
)
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.visit.fresh_photographs import HarmTest, Reserve, harm_finding
from blackbox_conformal.watching.visit.looking import DOUBT, HAZARD, canaries_finding, gather, log_wealth
from blackbox_conformal.watching.visit.visit_documents import FEW, MOST_POINTS, EvidenceHistory


def logs(p_values: list[float]) -> np.ndarray:
    return log_wealth(np.array(p_values)[:, None])[:, 0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=25))
def test_they_are_those_of_plain_products(p_values):
    assert np.allclose(np.exp(logs(p_values)), wealth(p_values, HAZARD, DOUBT), rtol=1e-12)


def test_each_column_bets_by_itself():
    p_values = np.random.default_rng(0).random((40, 3))
    together = log_wealth(p_values)
    for column in range(3):
        assert np.allclose(together[:, column], logs(p_values[:, column].tolist()), rtol=1e-12, atol=1e-12)


def test_years_of_visits_neither_overflow_nor_vanish():
    rich = logs([0.5] * 1000 + [0.0] * 400)
    assert np.isfinite(rich).all()
    assert rich[-1] > 700
    assert np.isfinite(logs([0.0, 1.0] * 700)).all()


def test_their_mean_over_a_uniform_p_value_is_what_it_was():
    past = [0.1, 0.9, 0.3, 0.95, 0.02]
    before = math.exp(logs(past)[-1])
    # Stretches end at sixths, so that the capital is constant between sixths of the last p-value.
    after = np.mean([math.exp(logs([*past, (place + 0.5) / 6])[-1]) for place in range(6)])
    assert after == pytest.approx(before, rel=1e-12)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=9), st.floats(0, 0.999))
def test_the_p_value_of_a_visit_is_that_of_plain_loops(rows, tie):
    values = np.array(rows, float)[:, :, None]
    found = visit_p_values(values, np.full((len(rows), 1), tie))[:, 0]
    for count in range(1, len(rows) + 1):
        assert found[count - 1] == pytest.approx(visit_p_value(rows[:count], tie), rel=1e-12, abs=1e-12)


def test_places_among_equals_are_shared_by_the_tie():
    assert (rank_p_value([], 3.0, 0.25), rank_p_value([1.0, 2.0], 3.0, 0.5)) == (0.25, pytest.approx(0.5 / 3))
    assert rank_p_value([3.0, 3.0, 5.0], 3.0, 0.5) == pytest.approx((1 + 0.5 * 3) / 4)


def test_ties_are_the_same_for_everybody_and_spread_evenly():
    assert tie_of("seed", 7, "detail") == tie_of("seed", 7, "detail") != tie_of("seed", 8, "detail")
    ties = np.array([tie_of("seed", draw, "detail") for draw in range(4000)])
    assert ties.min() >= 0
    assert ties.max() < 1
    assert abs(ties.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 4000)


CANARIES = 8


def visits(seed: int, count: int, rho: float = 0.0, shift: float = 0.0, change: int = 0) -> list[Visit]:
    """Features of correlation `rho` within a visit, moved by `shift` after so many visits."""
    random, made = np.random.default_rng(seed), []
    for number in range(count):
        shock = np.sqrt(rho) * random.normal(size=len(FEATURES)) + shift * (number >= change)
        draws = []
        for canary in range(CANARIES):
            values = shock + np.sqrt(1 - rho) * random.normal(size=len(FEATURES))
            features = dict(zip(FEATURES, values.tolist(), strict=True))
            draws.append(WatchDraw(canary, "fresh", canary, None, features=features))
        made.append(Visit(number, number, "", "", "same", tuple(draws)))
    return made


def finding(of: list[Visit], seed: int = 0) -> Finding:
    watch = Watched(1, "", "", str(seed), 0.01, True, False)
    return canaries_finding(Level(), gather(watch, of, CANARIES), of, CANARIES, instead=False)


def test_a_shock_that_all_answers_of_a_visit_share_is_no_change():
    for rho in (0.3, 1.0):
        assert [finding(visits(seed, 40, rho), seed).verdict for seed in range(10)] == ["same"] * 10


def test_a_change_is_told_with_the_way_it_moves():
    found = finding(visits(0, 38, shift=3.0, change=30))
    assert found.verdict == "changed"
    assert "standard deviations) in the median canary; evidence" in found.statement
    assert " moved by +" in found.statement


def test_a_visit_with_a_canary_that_was_not_answered_does_not_bet():
    every = visits(1, 12)
    part = replace(every[-1], draws=every[-1].draws[1:])
    found = finding([*every[:-1], part])
    assert found.verdict == "cannot tell"
    assert found.statement.startswith("only 7 of 8 canaries were answered, and a visit counts when all are")
    assert found.statement.endswith("from 11 visits")
    watch = Watched(1, "", "", "0", 0.01, True, False)
    assert gather(watch, [*every[:-1], part], CANARIES) == gather(watch, every[:-1], CANARIES)


KNOWN = np.random.default_rng(0).beta(1, 9, 60)


def test_what_is_allowed_leaves_room_for_the_luck_of_a_calibration():
    averaged = HarmTest.of(Claim(KNOWN, 0.1, 1.0, averages=True), 0.1, 0.005)
    stated = HarmTest.of(Claim(KNOWN, 0.1, 1.0, averages=False), 0.1, 0.005)
    assert stated.allowed == 0.1
    assert 0.1 < averaged.allowed < 0.3


def test_losses_far_above_the_level_are_found_and_those_below_are_not():
    test = HarmTest.of(Claim(2 * KNOWN, 0.2, 2.0), 0.2, 0.005)
    random = np.random.default_rng(1)
    assert test.finding([]).verdict == "cannot tell"
    assert test.finding(list(2 * random.beta(1, 9, (300, 1)))).verdict == "same"
    worse = test.finding(list(2 * random.beta(5, 5, (60, 2))))
    assert "over 120 fresh photographs of 60 visits" in worse.statement
    assert worse.verdict == "above"
    assert "the risk is above alpha=0.2" in worse.statement
    assert "not what was calibrated" not in worse.statement


def test_false_alarms_of_harm_are_rare_at_every_number_of_photographs():
    test = HarmTest.of(Claim(KNOWN, 0.1, 1.0, averages=False), 0.1, 0.1)
    random, alarms, repetitions = np.random.default_rng(2), 0, 150
    for _ in range(repetitions):
        # The mean is the level itself, the worst that is allowed.
        losses = list((random.random((120, 1)) < 0.1).astype(np.float64))
        alarms += any(test.finding(losses[:count]).verdict == "above" for count in range(5, 121, 5))
    assert alarms <= repetitions * (0.1 + 3 * np.sqrt(0.1 * 0.9 / repetitions))


def test_losses_of_single_pictures_within_their_tolerance_are_no_misses():
    rule = guarantee("per-image", delta=0.1)
    known = rule.claim(KNOWN, 0.3, 1.0)
    test = HarmTest.of(known, 0.3, 0.05, rule, 1.0)
    assert test.finding([np.full(2, 0.29)] * 60).verdict == "same"
    assert test.finding([np.full(2, 0.31)] * 60).verdict == "above"


def reserve(rule: str) -> Reserve:
    calibration = calibration_of(curves(0, 60), detail=[list(detail_curves(0, 60, "marked", 0.9))])
    name, _, parameters = rule.partition(":")
    made = guarantee(name, **dict(each.split("=") for each in parameters.split(",") if each))
    return Reserve(replace(calibration, guarantee=made.specification()), [], 0.5, 1)


def photographs(losses: np.ndarray, beside: np.ndarray) -> list[FreshMeasurement]:
    every = enumerate(zip(losses.tolist(), beside.tolist(), strict=True))
    return [FreshMeasurement(f"p{place}", "p", 0.9, loss, other, visit=place) for place, (loss, other) in every]


@pytest.mark.parametrize("rule", ["marked:largest_error=0.2", "per-image:of=marked,largest_error=0.2,delta=0.2"])
def test_what_is_promised_beside_is_tested_too_and_the_one_that_broke_is_named(rule):
    tests = reserve(rule).tests(Level(0.1))
    assert math.fsum(test.share for test in tests) == pytest.approx(Level(0.1).harm)
    assert reserve("marked").tests(Level(0.1))[0].share == Level(0.1).harm
    good, bad = np.full(60, 0.01), np.full(60, 0.99)
    assert harm_finding(tests, photographs(good, good), 1).verdict == "same"
    beside = harm_finding(tests, photographs(good, bad), 1)
    assert beside.verdict == "above"
    assert beside.statement.startswith("the largest error, promised beside: the risk is above alpha=0.2: ")
    main = harm_finding(tests, photographs(bad, good), 1)
    assert main.verdict == "above"
    assert main.statement.startswith("the risk is above alpha=0.5: ")
    assert "promised beside: mean loss" in main.statement
    assert harm_finding(tests, photographs(good, bad), 0).verdict == "above", "an alarm needs no further photograph"


def test_both_promises_together_are_falsely_alarmed_no_more_often_than_one_was():
    level, random, alarms, repetitions = Level(0.4, live=False), np.random.default_rng(5), 0, 150
    known = Claim(KNOWN, 0.1, 1.0, averages=False)
    tests = [HarmTest.of(known, 0.1, level.harm / 2) for _ in range(2)]
    for _ in range(repetitions):
        # Both means are the level itself, the worst that is allowed, and never are both losses large at once.
        lost = random.random(60)
        every = photographs((lost < 0.1).astype(float), (lost > 0.9).astype(float))
        alarms += any(harm_finding(tests, every[:count], 1).verdict == "above" for count in range(5, 61, 5))
    assert alarms <= repetitions * (level.harm + 3 * np.sqrt(level.harm * (1 - level.harm) / repetitions))
    spoiled = [harm_finding(tests, photographs(np.full(60, 0.01), random.random(60)), 1).verdict for _ in range(20)]
    assert spoiled.count("above") == 20, "the control, a risk of a half, must alarm"


def test_the_parts_are_the_whole():
    level = Level(0.01)
    assert level.canaries + level.harm + level.answers + level.inputs == pytest.approx(0.01)
    earlier = Level(0.01, live=False)
    assert (earlier.canaries, earlier.harm, earlier.answers + earlier.inputs) == (0.005, 0.005, 0)
    assert "0.5 % for canaries, 0.5 % for harm. Answers of one visit" in earlier.sentence
    assert "might have come in any other order" in earlier.sentence
    # Each feature alarms at a share of the level: by Ville and the union bound they have all of it together.
    assert len(FEATURES) / level.needed(len(FEATURES)) == pytest.approx(level.canaries)
    assert "1 %" in level.sentence
    assert "0.5 % for canaries, 0.25 % for harm, 0.15 % for answers, 0.1 % for inputs." in level.sentence
    assert "at most 90 %" in Level(0.9).sentence


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_other_levels_are_refused(level):
    with pytest.raises(UsageError, match="--level"):
        Level(level)


def test_harm_and_change_are_two_statements():
    same, note = Finding("canaries", "same", ""), Finding("pixels", "note", "")
    changed, above = Finding("identity", "changed", ""), Finding("harm", "above", "")
    unknown = Finding("canaries", "cannot tell", "")
    assert state_after([same, note], "watched") == "watched"
    assert state_after([same, note], "accepted") == "accepted"
    assert state_after([changed, same], "watched") == "suspended"
    assert (state_after([changed, above], "watched"), outcome([same, note])) == ("void", "same")
    assert outcome([unknown, note]) == "cannot tell"
    assert outcome([unknown, changed]) == outcome([above]) == "changed"


def history(logs: list[float]) -> EvidenceHistory:
    return EvidenceHistory("inputs", "Inputs", "picture", logs, 8.0, "a warning")


def test_a_peak_among_many_pictures_is_drawn():
    logs = [0.0] * 5000
    logs[3217] = 9.0 * math.log(10)
    chart = history(logs).chart
    bound, evidence = chart.series
    assert {y for _, y in bound.points} == {8.0 / math.log(10)}
    assert len(evidence.points) <= MOST_POINTS
    assert (3218.0, 9.0) in [(x, round(y, 9)) for x, y in evidence.points]
    assert chart.y1 > 9.0, "it lies within the chart"


def test_every_one_of_few_pictures_has_a_mark():
    chart = history([0.0] * FEW).chart
    assert (len(chart.marks(chart.series[1])), chart.series[1].style) == (FEW, "dots")


def test_full_bars_are_an_alarm_and_one_value_has_none():
    assert (history([-1.0, 4.0, 8.0, 99.0]).bars.split()[1], history([1.0]).bars) == ("▁▅██", "")
