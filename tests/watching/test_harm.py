"""Evidence of harm: the risk above what a guarantee allows, and no alarm from an unlucky calibration."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.audit_material import calibration_of, curves, detail_curves

from blackbox_conformal.method.guarantees.guarantee import Claim, guarantee
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.records import FreshMeasurement
from blackbox_conformal.watching.visit.fresh_photographs import HarmTest, Reserve, harm_finding

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
