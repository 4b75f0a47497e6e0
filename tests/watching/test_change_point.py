"""The bets on change points beside their twin, and the p-values that they are fed with."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive.change_point import visit_p_value, wealth

from blackbox_conformal.watching.level import rank_p_value, tie_of, visit_p_values
from blackbox_conformal.watching.visit.looking import DOUBT, HAZARD, log_wealth


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
    assert rank_p_value([], 3.0, 0.25) == 0.25
    assert rank_p_value([1.0, 2.0], 3.0, 0.5) == pytest.approx(0.5 / 3)
    assert rank_p_value([3.0, 3.0, 5.0], 3.0, 0.5) == pytest.approx((1 + 0.5 * 3) / 4)


def test_ties_are_the_same_for_everybody_and_spread_evenly():
    assert tie_of("seed", 7, "detail") == tie_of("seed", 7, "detail") != tie_of("seed", 8, "detail")
    ties = np.array([tie_of("seed", draw, "detail") for draw in range(4000)])
    assert ties.min() >= 0
    assert ties.max() < 1
    assert abs(ties.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 4000)
