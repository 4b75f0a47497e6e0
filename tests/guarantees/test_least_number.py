"""The least number of photographs: the same as by trying every number, and at once however tiny the level is."""

import functools
import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from naive import risk_curves as naive

from blackbox_conformal.method.guarantees import _bounds
from blackbox_conformal.method.guarantees._bounds import binomial_budget, hoeffding_bentkus_budget
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee
from blackbox_conformal.method.risk.betting import mixture_certifies, split_stake
from blackbox_conformal.method.risk.curve import RiskCurve

BOUND = 1.5
EMPTY, REFUSED = RiskCurve(np.empty(0), np.empty(0), BOUND), RiskCurve.worst(BOUND)


def reaches(rule, n, refused, level):
    """Whether n photographs of which some are refused reach the level, from tables of length n."""
    if n < max(refused, 1):
        return False
    if rule.method == "hoeffding-bentkus":
        budget = hoeffding_bentkus_budget(n, level, rule.delta)
        return budget is not None and budget >= refused
    if rule.method == "binomial":
        budget = binomial_budget(n, level, rule.delta)
        return budget is not None and budget >= refused
    stake = split_stake(rule.bets, rule.full) if rule.full else None
    return mixture_certifies(np.r_[np.ones(refused), np.zeros(n - refused)], level, rule.delta, rule.bets, stake)


def least_by_trying(holds):
    return next(n for n in range(10_000) if holds(n))


@pytest.mark.parametrize(
    "method",
    [
        {"method": "hoeffding-bentkus"},
        {"method": "mixture"},
        {"method": "binomial"},
        {"method": "mixture", "full": 0.5},
    ],
    ids=str,
)
def test_high_probability_needs_as_many_as_trying_every_number_says(method):
    for case in itertools.product([1.4, 0.75, 0.3, 0.1], [0.5, 0.1, 0.05, 1e-6], [0, 1, 2, 5]):
        alpha, delta, refused = case
        rule = guarantee("high-probability", **method, delta=delta)
        level = float(Fraction(str(alpha)) / Fraction(str(BOUND)))
        expected = least_by_trying(functools.partial(reaches, rule, refused=refused, level=level))
        assert rule._least(alpha, BOUND, refused) == expected, case
        assert rule.minimum_images(alpha, BOUND) <= expected, case


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_per_image_needs_as_many_as_trying_every_number_says(rank):
    for case in itertools.product(["0.5", "0.3", "0.1", "0.04"], ["0.5", "0.9", "0.95", "0.999"]):
        delta, confidence = map(Fraction, case)
        rule = guarantee("per-image", delta=float(delta), confidence=float(confidence))

        def holds(n, delta=delta, confidence=confidence):
            return n >= rank and naive.binomial_cdf(rank - 1, n, delta) <= 1 - confidence

        expected = least_by_trying(holds)
        # A hundred-millionth more is asked for, so that equality, which floats cannot tell, is refused.
        assert rule._least(rank) - expected in (0, 1), case
        assert rule._least(rank) == least_by_trying(lambda n, rule=rule: rule.rank(n) >= rank if n else False), case


@pytest.mark.parametrize("alpha", [1e-5, 1e-9, 1e-17, 1e-300])
def test_without_a_loss_the_numbers_are_those_of_the_closed_form(alpha):
    hoeffding = guarantee("high-probability", delta=0.05, method="hoeffding-bentkus").minimum_images(alpha, BOUND)
    assert hoeffding == pytest.approx(math.log(20) / -math.log1p(-alpha / BOUND), rel=1e-5)
    mixture = guarantee("high-probability", method="mixture", delta=0.05).minimum_images(alpha, BOUND)
    even = mixture * alpha / BOUND
    assert np.mean(np.exp(np.arange(1, 21) / 21 * even)) == pytest.approx(20, rel=2e-4)
    sure = guarantee("per-image", delta=min(alpha, 0.5), confidence=0.95).minimum_images(0.1, BOUND)
    assert sure == pytest.approx(math.log(20) / -math.log1p(-alpha), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "alpha"),
    [
        ("high-probability", {"delta": 1e-12}, 1e-300),
        ("high-probability", {"delta": 1e-12, "method": "mixture"}, 1e-300),
        ("high-probability", {"delta": 0.1}, 1e-17),
        ("high-probability", {"delta": 0.1}, 5e-324),
        ("high-probability", {"delta": 0.1, "method": "mixture"}, 5e-324),
        ("per-image", {"delta": 1e-12, "confidence": 0.95}, 0.1),
        ("per-image", {"delta": 1e-300, "confidence": 1 - 1e-12}, 0.1),
        ("per-image", {"delta": 1e-18}, 0.1),
        ("expected", {}, 1e-300),
    ],
)
@pytest.mark.parametrize("refused", [0, 3])
def test_tiny_levels_ask_few_questions_and_need_little_memory(name, parameters, alpha, refused, monkeypatch):
    """Not one array of the length of the answer: at 10^12 photographs and more there could be none."""
    asked = 0
    tail = _bounds.binomial_tail

    def counted(*given):
        nonlocal asked
        asked += 1
        return tail(*given)

    for module in ("_bounds", "per_image"):
        monkeypatch.setattr(f"blackbox_conformal.method.guarantees.{module}.binomial_tail", counted)
    rule = guarantee(name, **parameters)
    curves = [EMPTY] * 20 + [REFUSED] * refused
    choose(curves, alpha, rule)
    asked = 0
    tracemalloc.start()
    try:
        found = choose(curves, alpha, rule)
        need = rule.minimum_images(alpha, BOUND)
        least = rule.reachable_alpha(10**9, BOUND)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.threshold == -math.inf
    assert found.missing_images + 20 + refused >= need >= 10**11
    assert len(found.reason) < 200
    assert least > 0
    assert peak < 2**20
    assert asked < 3000


def test_a_number_of_photographs_with_many_digits_is_rounded_in_words():
    found = choose([EMPTY] * 20, 1e-9, "high-probability", method="hoeffding-bentkus")
    assert found.missing_images == 3453877620
    assert "at least about 3.45e+9 are needed. Add about 3.45e+9 or" in found.reason
    assert "at least 100 are needed. Add 80 or" in choose([EMPTY] * 20, 0.0149, "expected").reason
