"""Evidence of harm: the risk above what a guarantee allows, and no alarm from an unlucky calibration."""

import numpy as np

from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.watching.harm import HarmTest

KNOWN = np.random.default_rng(0).beta(1, 9, 60)


def test_what_is_allowed_leaves_room_for_the_luck_of_a_calibration() -> None:
    averaged = HarmTest.of(Claim(KNOWN, 0.1, 1.0, averages=True), 0.1, 0.005)
    stated = HarmTest.of(Claim(KNOWN, 0.1, 1.0, averages=False), 0.1, 0.005)
    assert stated.allowed == 0.1
    assert 0.1 < averaged.allowed < 0.3


def test_losses_far_above_the_level_are_found_and_those_below_are_not() -> None:
    test = HarmTest.of(Claim(2 * KNOWN, 0.2, 2.0), 0.2, 0.005)
    random = np.random.default_rng(1)
    assert test.finding([]).verdict == "cannot tell"
    assert test.finding(list(2 * random.beta(1, 9, (300, 1)))).verdict == "same"
    worse = test.finding(list(2 * random.beta(5, 5, (60, 2))))
    assert "over 120 fresh photographs of 60 visits" in worse.statement
    assert worse.verdict == "above"
    assert "the risk is above alpha=0.2" in worse.statement
    assert "not what was calibrated" not in worse.statement


def test_false_alarms_of_harm_are_rare_at_every_number_of_photographs() -> None:
    test = HarmTest.of(Claim(KNOWN, 0.1, 1.0, averages=False), 0.1, 0.1)
    random, alarms, repetitions = np.random.default_rng(2), 0, 150
    for _ in range(repetitions):
        # The mean is the level itself, the worst that is allowed.
        losses = list((random.random((120, 1)) < 0.1).astype(np.float64))
        alarms += any(test.finding(losses[:count]).verdict == "above" for count in range(5, 121, 5))
    assert alarms <= repetitions * (0.1 + 3 * np.sqrt(0.1 * 0.9 / repetitions))
