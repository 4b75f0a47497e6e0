"""A watch of an unchanged vendor is silent however often it is looked at; its twin with a fixed reference is not."""

import math

import numpy as np
import pytest
import watch_rates

from blackbox_conformal.watching.jumper import log_wealth
from blackbox_conformal.watching.ranks import rank_p_value

LEVEL, RUNS, VISITS = 0.05, 400, 250
ALLOWED = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


def test_the_simulation_bets_as_the_product_does() -> None:
    random = np.random.default_rng(5)
    values, ties = np.round(random.normal(size=300)), random.random(296)
    fast = watch_rates.places(values, 4, ties)
    slow = [rank_p_value(list(values[:place]), values[place], ties[place - 4]) for place in range(4, 300)]
    assert fast == pytest.approx(slow, rel=1e-12)
    highest = float(np.exp(log_wealth(slow).max()))
    for factor, first in ((0.999, True), (1.001, False)):
        found = watch_rates.first_alarms(fast[None], 1, highest * factor)
        assert bool(found[0]) is first


@pytest.mark.parametrize("canaries", [1, 8])
@pytest.mark.parametrize("references", [1, 2, 8])
@pytest.mark.parametrize(("grid", "missed"), [(0.0, False), (1.0, True)])
def test_an_unchanged_vendor_rarely_raises_an_alarm_at_any_visit(
    canaries: int, references: int, grid: float, missed: bool
) -> None:
    found = watch_rates.alarms(RUNS, VISITS, canaries, references, seed=11, needed=1 / LEVEL, grid=grid, missed=missed)
    assert (found > 0).mean() <= ALLOWED


def test_the_control_a_bag_that_stays_as_it_was_alarms_by_itself() -> None:
    found = watch_rates.alarms(100, 1000, 8, 8, seed=11, needed=1 / LEVEL, fixed=True)
    assert (found > 0).mean() > 0.2


def test_a_change_is_found_within_a_few_visits() -> None:
    found = watch_rates.alarms(200, 50, 8, 8, seed=11, needed=2000, shift=2.0, change=10)
    assert (found > 0).all()
    assert np.median(found - 10) <= 5
