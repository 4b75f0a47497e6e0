"""A watch of an unchanged vendor is silent however often it is looked at; its twin with a fixed reference is not."""

import math

import numpy as np
import pytest
import watch_rates

from blackbox_conformal.watching.jumper import log_wealth
from blackbox_conformal.watching.ranks import rank_p_value

LEVEL, RUNS, VISITS = 0.05, 400, 250
ALLOWED = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


def alarm_of_the_product(
    values: np.ndarray, references: int, needed: float, random: np.random.Generator, missed: bool
) -> int:
    """`watch_rates.first_alarm` by the product's own ranks and martingale."""
    canaries, visits = len(values), values.shape[1] - references
    ties, luck = random.random((visits, canaries)), np.ones((visits, canaries + 1))
    if missed:
        luck = random.random((visits, canaries + 1))
    bags, p_values, wealth = [list(row[:references]) for row in values], [], 1.0
    for visit in range(visits):
        if luck[visit, 0] < (0.5 if wealth < 1 else 0.2):
            continue
        for canary in range(canaries):
            if luck[visit, 1 + canary] < 0.1:
                continue
            new = values[canary, references + visit]
            p_values.append(rank_p_value(bags[canary], new, ties[visit, canary]))
            bags[canary].append(new)
            wealth = math.exp(log_wealth(p_values)[-1])
            if wealth >= needed:
                return visit + 1
    return 0


@pytest.mark.parametrize("missed", [False, True])
@pytest.mark.parametrize("grid", [0.0, 1.0])
def test_the_simulation_bets_as_the_product_does(grid: float, missed: bool) -> None:
    alarms = set()
    for run in range(6):
        values = np.random.default_rng([run, 5]).normal(size=(3, 2 + 40))
        values[:, 12:] += run % 2
        values = np.round(values / grid) if grid else values
        for needed in (1.2, 3.0, 30.0):
            expected = alarm_of_the_product(values, 2, needed, np.random.default_rng(run), missed)
            random = np.random.default_rng(run)
            assert watch_rates.first_alarm(values, 2, needed, random, missed=missed) == expected
            alarms.add(expected)
    assert 0 in alarms
    assert len(alarms) > 4


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
