"""The simple jumper beside its twin, and the p-values that it is fed with."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive.jumper import wealth

from blackbox_conformal.watching.jumper import BETS, JUMP, log_wealth
from blackbox_conformal.watching.ranks import rank_p_value, tie_of


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_it_is_the_algorithm_of_the_book(p_values: list[float]) -> None:
    for bets in (BETS, (-1.0, 0.0, 1.0)):
        assert np.allclose(np.exp(log_wealth(p_values, bets)), wealth(p_values, bets, JUMP), rtol=1e-12)


def test_years_of_visits_neither_overflow_nor_vanish() -> None:
    rich = log_wealth([0.0] * 5000)
    assert np.isfinite(rich).all()
    assert rich[-1] > 1000
    assert np.isfinite(log_wealth([0.5] * 5000)).all()


def test_its_mean_over_a_uniform_p_value_is_what_it_was() -> None:
    past = [0.1, 0.9, 0.3]
    before = math.exp(log_wealth(past)[-1])
    # The capital is linear in the last p-value, so two points have the mean of all.
    after = np.mean([math.exp(log_wealth([*past, p_value])[-1]) for p_value in (0.0, 1.0)])
    assert after == pytest.approx(before, rel=1e-12)


def test_places_among_equals_are_shared_by_the_tie() -> None:
    assert rank_p_value([], 3.0, 0.25) == 0.25
    assert rank_p_value([1.0, 2.0], 3.0, 0.5) == pytest.approx(0.5 / 3)
    assert rank_p_value([3.0, 3.0, 5.0], 3.0, 0.5) == pytest.approx((1 + 0.5 * 3) / 4)


def test_ties_are_the_same_for_everybody_and_spread_evenly() -> None:
    assert tie_of("seed", 7, "detail") == tie_of("seed", 7, "detail") != tie_of("seed", 8, "detail")
    ties = np.array([tie_of("seed", draw, "detail") for draw in range(4000)])
    assert ties.min() >= 0
    assert ties.max() < 1
    assert abs(ties.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 4000)
