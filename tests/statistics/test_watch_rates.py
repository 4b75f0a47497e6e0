"""A watch of an unchanged vendor is silent however often it is looked at, and finds a change of the answers."""

import math

import numpy as np
import pytest
import watch_changes
import watch_rates
from support.synthetic import photograph
from watch_rates import VENDORS, Vendor

from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.visit.fresh_photographs import HarmTest
from blackbox_conformal.watching.visit.looking import AGAIN, IN_A_ROW, Difference, is_changed, to_ask_again

LEVEL, RUNS, VISITS = 0.05, 400, 100
ALLOWED = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


@pytest.mark.parametrize("canaries", [1, 8])
@pytest.mark.parametrize("name", VENDORS)
def test_an_unchanged_vendor_rarely_raises_an_alarm_at_any_visit(name: str, canaries: int) -> None:
    found = watch_rates.alarms(RUNS, VISITS, canaries, VENDORS[name], seed=11, needed=1 / LEVEL)
    assert (found > 0).mean() <= ALLOWED


@pytest.mark.parametrize("name", ["correlation 0.3", "two models by visit, 50:50", "two models by visit, 90:10"])
def test_the_control_bets_of_all_canaries_multiplied_alarms_by_itself(name: str) -> None:
    found = watch_rates.alarms(200, VISITS, 8, VENDORS[name], seed=11, needed=1 / LEVEL, control=True)
    assert (found > 0).mean() > 0.3


def test_the_control_eight_draws_of_one_session_alarm_by_themselves() -> None:
    found = watch_rates.alarms(200, VISITS, 8, Vendor(rho=0.3, session=8), seed=11, needed=1 / LEVEL)
    assert (found > 0).mean() > 2 * LEVEL


def test_a_change_is_found_within_a_few_visits() -> None:
    found = watch_rates.alarms(200, 50, 8, Vendor(), seed=11, needed=2200, shift=2.0, change=30)
    assert (found > 30).all()
    assert np.median(found - 30) <= 6


def test_photographs_of_one_visit_that_are_lost_together_are_one_loss() -> None:
    test = HarmTest(0.1, 0.1, 0.0, LEVEL, 1.0, np.full(20, 1 / 20))
    random, runs, alarms = np.random.default_rng(3), 100, np.zeros(2)
    for _ in range(runs):
        losses = np.repeat((random.random((40, 1)) < 0.1).astype(float), 4, axis=1)
        for place, units in enumerate((losses, losses.reshape(160, 1))):
            counts = range(len(units) // 10, len(units) + 1, len(units) // 10)
            alarms[place] += any(test.finding(list(units[:count])).verdict == "above" for count in counts)
    assert alarms[0] / runs <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    assert alarms[1] / runs > 3 * LEVEL, "the control, each photograph by itself, must fail"


def false_changes(share: float, visits: int, requests: int, runs: int, again: int) -> float:
    """The share of watches with a false `changed`, where a share of requests meets another machine, each by itself."""
    random, equal, other = np.random.default_rng(4), Difference(0, 0.0), Difference(40, 0.5)

    def answer() -> Difference:
        return other if random.random() < share else equal

    def changed() -> bool:
        found = {canary: [answer()] for canary in range(requests)}
        for _ in range(again):
            canary = to_ask_again(found)
            if canary is not None:
                found[canary].append(answer())
        return is_changed(found)

    return float(np.mean([any(changed() for _ in range(visits)) for _ in range(runs)]))


def test_one_request_in_a_hundred_on_another_machine_is_no_change_in_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    assert false_changes(0.01, 30, 8, 300, AGAIN) == 0
    assert false_changes(1.0, 1, 8, 1, AGAIN) == 1
    monkeypatch.setattr("blackbox_conformal.watching.visit.looking.IN_A_ROW", 1)
    assert IN_A_ROW == AGAIN + 1
    assert false_changes(0.01, 30, 8, 100, 0) > 0.7, "the control, one other answer, must fail"


BEFORE = [np.random.default_rng(canary).normal(size=(64, len(FEATURES))) for canary in range(8)]


def moved(by: float) -> list[np.ndarray]:
    """The answers after a change of one feature, in standard deviations."""
    return [table + by * table.std(axis=0) * (np.arange(len(FEATURES)) == 3) for table in BEFORE]


def test_a_shift_is_that_of_the_feature_that_moves_most_in_the_median_canary() -> None:
    assert watch_changes.shift(BEFORE, BEFORE) == 0
    assert watch_changes.shift(BEFORE, moved(-2.5)) == pytest.approx(2.5)
    assert watch_changes.shift(BEFORE, [*moved(-2.5)[:5], *moved(9.0)[5:]]) == pytest.approx(2.5)


def test_a_change_is_found_within_six_visits_and_without_one_all_is_silent() -> None:
    found = watch_changes.alarms(BEFORE, moved(5.0), 30, 20, 40)
    assert ((found > 0) & (found <= 6)).mean() >= 0.9
    assert np.isinf(watch_changes.alarms(BEFORE, BEFORE, 0, 100, 40)).mean() >= 0.95


def test_half_precision_changes_the_embedded_vendor_a_little() -> None:
    low = photograph(1)[:24, :24]
    plain, half = (network.upscale(low, 7).astype(int) for network in (Generator(), watch_changes.HalfPrecision()))
    assert 0 < np.abs(plain - half).max() <= 8
    assert np.abs(plain - half).mean() < 0.5
