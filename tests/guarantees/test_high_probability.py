"""High probability: thresholds by their p-values, levels together, and the least number of photographs."""

import functools
import itertools
import math
import re
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import risk_curves as naive
from scipy.stats import beta

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees import _bounds
from blackbox_conformal.method.guarantees import _bounds as bounds
from blackbox_conformal.method.guarantees._bounds import (
    binomial_budget,
    binomial_cdf,
    binomial_tail,
    hoeffding_bentkus_budget,
)
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
from blackbox_conformal.method.guarantees.high_probability import holding_together, levels_together
from blackbox_conformal.method.risk import betting
from blackbox_conformal.method.risk.betting import mixture_certifies, split_stake
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

NAMES = ("hoeffding-bentkus", "mixture", "binomial")
METHODS = (*({"method": name} for name in NAMES), {"method": "mixture", "full": 0.5})
LEVELS = (0.1, 0.2, 0.25, 0.3, 0.4)


def random_curves(seed, n, bound=1.5, scale=0.3):
    rng = np.random.default_rng(seed)
    return [RiskCurve(np.sort(rng.permutation(30)[:5]), np.sort(rng.random(5) * scale) + 1e-3, bound) for _ in range(n)]


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (20, 0.013), (120, 0.4), (300, 0.97)])
def test_the_binomial_distribution_is_exact_to_ten_digits(n, p):
    chosen = sorted({0, n // 3, n // 2, n - 1, n})
    exact = [float(naive.binomial_cdf(k, n, Fraction(p))) for k in chosen]
    assert binomial_cdf(n, p)[chosen].tolist() == pytest.approx(exact, rel=1e-10)
    assert [binomial_tail(k, n, p) for k in chosen] == pytest.approx(exact, rel=1e-10)
    assert (binomial_tail(-1, n, p), binomial_tail(n + 3, n, p)) == (0, 1)


def require_largest(curves, alphas, allows, **given):
    """The threshold must be the largest up to which `allows` the losses of all curves at the level."""
    stairs = [list(zip(c.scores.tolist(), c.losses.tolist(), strict=True)) for c in curves]
    for alpha in alphas:
        expected = -math.inf
        for t in reversed(naive.candidates(stairs)[:-1]):
            if not allows([naive.loss(pairs, t) for pairs in stairs], alpha):
                break
            expected = t
        assert threshold(curves, alpha, "high-probability", **given) == expected


@pytest.mark.parametrize("delta", [0.01, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_hoeffding_bentkus_thresholds_are_those_of_the_p_value(seed, delta):
    def allows(losses, alpha):
        mean = sum(map(Fraction, losses)) / 150 / Fraction(3, 2)
        return naive.hoeffding_bentkus(mean, 150, Fraction(str(alpha)) / Fraction(3, 2)) <= delta

    require_largest(random_curves(seed, 150), LEVELS, allows, delta=delta, method="hoeffding-bentkus")


@pytest.mark.parametrize(("seed", "full"), [*((seed, 0.0) for seed in range(4)), *((seed, 0.4) for seed in range(3))])
def test_mixture_thresholds_are_those_of_the_wealth(seed, full):
    def allows(losses, alpha):
        return naive.mixture_wealth([loss / 1.5 for loss in losses], alpha / 1.5, 20, full=full) >= 1 / 0.1

    # A loss of 1 takes all that the full bet has won.
    curves = random_curves(seed, 150 - bool(full)) + [RiskCurve(np.array([28]), np.array([1.5]), 1.5)] * bool(full)
    require_largest(curves, LEVELS, allows, method="mixture", full=full)


@pytest.mark.parametrize("seed", range(3))
def test_binomial_thresholds_are_those_of_the_p_value_of_losses_that_are_0_or_the_bound(seed):
    def allows(losses, alpha):
        ones = sum(loss > 0 for loss in losses)
        return naive.binomial_cdf(ones, 100, Fraction(str(alpha)) / Fraction(3, 2)) <= Fraction(1, 10)

    rng = np.random.default_rng(seed)
    curves = [RiskCurve(rng.permutation(30)[:1], np.array([1.5]), 1.5) for _ in range(100)]
    require_largest(curves, (0.1, 0.15, 0.3, 0.6), allows, method="binomial")


def test_the_binomial_bound_is_that_of_clopper_and_pearson():
    for n, ones, delta in ((29, 0, 0.05), (46, 1, 0.05), (100, 5, 0.1), (400, 37, 0.02)):
        exact = beta.ppf(1 - delta, ones + 1, n - ones)
        assert bounds.binomial_upper(ones, n, delta) == pytest.approx(exact, rel=1e-8)
        assert bounds.binomial_upper(ones, n, delta) >= exact
    assert bounds.binomial_upper(7, 7, 0.05) == 1.0
    # Of 100 photographs at alpha = delta = 0.1 five may have a loss, one more than Hoeffding-Bentkus allows.
    assert bounds.binomial_budget(100, 0.1, 0.1) == 5
    assert 4 <= bounds.hoeffding_bentkus_budget(100, 0.1, 0.1) < 5


def test_other_losses_than_0_and_the_bound_count_as_the_bound_and_a_tail_that_equals_its_limit_is_refused():
    """Docs, Arithmetic: one photograph without loss reaches hardly more than half the bound at delta 0.5."""
    small = [RiskCurve(np.array([3]), np.array([0.01]), 1.5)] * 100
    assert threshold(small, 0.2, "high-probability", method="binomial") == 3
    assert threshold(small, 0.2, "high-probability") == math.inf
    for level, found in ((0.5, -math.inf), (0.5000001, math.inf)):
        chosen = {"delta": 0.5, "method": "hoeffding-bentkus"}
        assert threshold([EMPTY], level, "high-probability", **chosen) == found


def test_a_full_bet_gains_most_where_losses_are_small_and_loses_its_stake_to_one_of_1():
    zeros, stake = np.zeros(120), betting.split_stake(20, 0.5)
    assert betting.mixture_upper(zeros, 0.05, 20, stake) == pytest.approx(0.02832859980791988, rel=1e-12)
    one = np.r_[zeros[1:], 1.0]
    assert betting.mixture_upper(one, 0.05, 20, stake) > betting.mixture_upper(one, 0.05, 20)
    assert betting.mixture_upper(np.ones(5), 0.05, 20, stake) == 1.0


def test_the_full_bet_is_a_part_of_the_mixture_and_of_the_fingerprint():
    with pytest.raises(UsageError, match="full is a stake of the mixture's; got method=binomial"):
        guarantee("high-probability", method="binomial", full=0.5)
    with pytest.raises(UsageError, match="full"):
        guarantee("high-probability", method="mixture", full=1.0)
    plain, full = (guarantee("high-probability", method="mixture", full=share) for share in (0.0, 0.5))
    assert full.specification() == {**plain.specification(), "full": 0.5}
    assert any("stake" in sentence and "50 %" in sentence for sentence in full.assumptions)


def test_without_a_method_most_of_the_stake_lies_on_the_full_bet_and_what_was_stored_keeps_its_own():
    usual = guarantee("high-probability")
    assert (usual.method, usual.full) == ("mixture", 0.75)
    for rule in (usual, *(guarantee("high-probability", method=name) for name in ("mixture", "binomial"))):
        stored = rule.specification()
        again = guarantee(stored.pop("name"), **stored)
        assert (again, again.full) == (rule, 0.75 if rule == usual else 0.0)
    earlier = {"delta": 0.1, "method": "hoeffding-bentkus", "bets": 20}
    assert guarantee("high-probability", **earlier).specification() == {"name": "high-probability", **earlier}
    assert len(usual.alternatives()) == 6


def test_known_bounds_for_losses_of_zero():
    assert betting.mixture_upper(np.zeros(120), 0.05, 20) == pytest.approx(0.03744905595108554, rel=1e-12)
    assert bounds.hoeffding_bentkus_upper(Fraction(0), 120, 0.05) == pytest.approx(1 - 0.05 ** (1 / 120), rel=1e-8)
    assert round(bounds.hoeffding_bentkus_upper(Fraction(0), 120, 0.05), 4) == 0.0247
    rule = guarantee("high-probability", delta=0.05, method="hoeffding-bentkus")
    assert [rule.minimum_images(alpha, 1.9576) for alpha in (0.02, 0.05, 0.1, 0.2)] == [292, 116, 58, 28]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=3, max_size=60), st.sampled_from([0.01, 0.1, 0.3])
)
def test_upper_bounds_are_above_the_mean_and_the_inverse_of_the_test(losses, delta):
    n, total = len(losses), sum(map(Fraction, losses))
    upper = bounds.hoeffding_bentkus_upper(total, n, delta)
    assert upper >= float(total / n)
    for level in (upper * 1.001, upper * 0.999):
        if 0 < level < 1:
            budget = bounds.hoeffding_bentkus_budget(n, level, delta)
            assert (budget is not None and total <= budget) == (level > upper)
    values = np.array(losses)
    upper = betting.mixture_upper(values, delta, 20)
    assert upper >= values.mean() - 1e-12
    if upper * 1.001 < 1:
        assert betting.mixture_certifies(values, upper * 1.001, delta, 20)
    assert not betting.mixture_certifies(values, upper * 0.999, delta, 20)


def test_the_mixture_does_not_depend_on_order_and_falls_with_every_loss():
    values = np.random.default_rng(9).random(50)
    assert betting.mixture_log_wealth(values, 0.4, 20) == betting.mixture_log_wealth(values[::-1].copy(), 0.4, 20)
    for index in (0, 17, 49):
        larger = values.copy()
        larger[index] = 1.0
        assert betting.mixture_log_wealth(larger, 0.4, 20) < betting.mixture_log_wealth(values, 0.4, 20)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_risk_is_the_inverse_of_the_threshold(method):
    never = RiskCurve(np.empty(0), np.empty(0), 1.5)
    curves = CurveSet.from_curves([*random_curves(5, 20), *[never] * 60])
    rule = guarantee("high-probability", **method)
    levels = rule.levels(curves)
    assert (np.diff(levels) > 0).all()
    for t in [*np.unique(curves.scores).tolist(), math.inf]:
        level = rule.risk(curves, t)
        assert np.isclose(levels, level, rtol=1e-12).any()
        assert rule.threshold(curves, level) >= t
        assert rule.threshold(curves, level * (1 - 1e-6)) < t or rule.risk(curves, t) == levels[0]
    assert rule.risk(curves, -math.inf) == 0


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_fewest_photographs_are_the_first_that_reach_the_level(method):
    rule = guarantee("high-probability", **method, delta=0.05)
    n = rule.minimum_images(0.1, 1.5)
    empty = RiskCurve(np.empty(0), np.empty(0), 1.5)
    assert choose([empty] * n, 0.1, rule).threshold == math.inf
    short = choose([empty] * (n - 1), 0.1, rule)
    assert (short.threshold, short.missing_images) == (-math.inf, 1)
    assert rule.reachable_alpha(n, 1.5) <= 0.1 < rule.reachable_alpha(n - 1, 1.5)
    refused = choose([empty] * n + [RiskCurve.worst(1.5)], 0.1, rule)
    assert refused.threshold == -math.inf
    enough = [empty] * (n + refused.missing_images) + [RiskCurve.worst(1.5)]
    assert choose(enough, 0.1, rule).threshold == math.inf
    assert choose(enough[1:], 0.1, rule).threshold == -math.inf
    assert (rule.minimum_images(1.5, 1.5), rule.reachable_alpha(0, 1.5)) == (0, 1.5)


def test_what_the_mathematics_does_not_allow_is_refused_with_the_reason_and_needs_are_said():
    for parameter in ("weights", "weight_new", "leaked", "bound_new"):
        with pytest.raises(UsageError, match=f"{parameter} cannot be combined with this guarantee: it"):
            guarantee("high-probability", **{parameter: 1})
    rule = guarantee("high-probability", delta=0.05)
    assert rule.needs.sampling == "iid"
    assert "independent draws" in rule.assumptions[0]
    assert "confidence 0.95, 120 calibration photographs" in rule.statement(0.1, 120)


EMPTY = RiskCurve(np.empty(0), np.empty(0), 1.0)


def curves_of(seed, n, largest):
    rng = np.random.default_rng(seed)
    some = [RiskCurve(np.sort(rng.permutation(40)[:4]), np.sort(rng.random(4)) * largest, 1.0) for _ in range(n // 2)]
    return CurveSet.from_curves([*some, *[EMPTY] * (n - n // 2)])


def naive_shared(curves, levels, delta, method):
    """Holm, by hand: every level from the largest at delta / A; one that trusts everything leaves delta to A - 1."""
    shares, thresholds = len(levels), {}
    everything = True
    for level in sorted(levels, reverse=True):
        t = guarantee("high-probability", delta=delta / shares, method=method).threshold(curves, level)
        thresholds[level] = t
        if everything and t == math.inf:
            shares -= 1
        else:
            everything = False
    return thresholds


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("largest", [0.1, 0.4, 1.0])
def test_thresholds_share_delta_and_a_level_that_trusts_everything_leaves_its_part(method, largest):
    curves, levels = curves_of(3, 120, largest), (0.05, 0.1, 0.2, 0.45, 0.7)
    rule = guarantee("high-probability", method=method, together=levels)
    expected = naive_shared(curves, levels, 0.1, method)
    assert {level: rule.threshold(curves, level) for level in levels} == expected
    assert math.inf in expected.values()
    single = guarantee("high-probability", method=method)
    assert all(rule.threshold(curves, level) <= single.threshold(curves, level) for level in levels)
    assert rule.levels(curves).tolist() == [level for level in levels if expected[level] > -math.inf]
    for level in levels:
        if expected[level] > -math.inf:
            assert rule.threshold(curves, rule.risk(curves, expected[level])) == expected[level]
    assert rule.risk(curves, -math.inf) == 0


def test_a_level_between_gets_the_threshold_of_the_one_below_and_a_lower_one_nothing():
    curves = curves_of(4, 120, 0.4)
    rule = guarantee("high-probability", together=[0.2, 0.1])
    assert rule.threshold(curves, 0.15) == rule.threshold(curves, 0.1) < rule.threshold(curves, 0.2)
    assert rule.threshold(curves, 0.9) == rule.threshold(curves, 0.2)
    found = choose(curves, 0.05, rule)
    assert found.threshold == -math.inf
    assert "begin at 0.1" in found.reason
    alone = guarantee("high-probability", together=[0.2])
    assert alone.threshold(curves, 0.2) == guarantee("high-probability").threshold(curves, 0.2)


@pytest.mark.parametrize("method", NAMES)
def test_the_fewest_photographs_of_a_level_are_the_first_that_reach_it(method):
    rule = guarantee("high-probability", method=method, together=[0.05, 0.1, 0.3])
    for level in (0.05, 0.1, 0.3):
        n = rule.minimum_images(level, 1.0)
        assert choose([EMPTY] * n, level, rule).threshold == math.inf
        assert choose([EMPTY] * (n - 1), level, rule).threshold == -math.inf
        assert rule.reachable_alpha(n, 1.0) <= level < rule.reachable_alpha(n - 1, 1.0)
    # All larger levels trust everything, so that the least one has all of delta.
    assert rule.minimum_images(0.05, 1.0) == guarantee("high-probability", method=method).minimum_images(0.05, 1.0)


def test_levels_are_typed_as_a_list_and_are_said():
    rule = guarantee("high-probability", together="[0.2,0.1]")
    assert rule == guarantee("high-probability", together=(0.1, 0.2))
    assert rule == holding_together(guarantee("high-probability"), [0.2, 0.1, 0.1])
    assert levels_together(rule) == (0.1, 0.2)
    assert levels_together(guarantee("expected")) == ()
    assert rule.specification()["together"] == [0.1, 0.2]
    assert "together" not in guarantee("high-probability").specification()
    assert rule.statement(0.1, 60).endswith("holds for the levels 0.1, 0.2 together, whichever is picked.")
    assert any(re.search(r"Nothing but the level was.*setting or seed\.$", text) for text in rule.assumptions)
    for wrong in ("[0.1,x]", "[0.1,-1]", "[0,0.1]", "[inf]"):
        with pytest.raises(UsageError):
            guarantee("high-probability", together=wrong)
    said = r"expected one --alpha, since expected holds at one level .* high-probability"
    with pytest.raises(UsageError, match=said):
        holding_together(guarantee("expected"), [0.1, 0.2])


BOUND = 1.5
NEVER, REFUSED = RiskCurve(np.empty(0), np.empty(0), BOUND), RiskCurve.worst(BOUND)


def reaches(rule, n, refused, level):
    """Whether n photographs of which some are refused reach the level, from tables of length n."""
    if n < max(refused, 1):
        return False
    if rule.method != "mixture":
        budget_of = binomial_budget if rule.method == "binomial" else hoeffding_bentkus_budget
        budget = budget_of(n, level, rule.delta)
        return budget is not None and budget >= refused
    stake = split_stake(rule.bets, rule.full) if rule.full else None
    return mixture_certifies(np.r_[np.ones(refused), np.zeros(n - refused)], level, rule.delta, rule.bets, stake)


def least_by_trying(holds):
    return next(n for n in range(10_000) if holds(n))


@pytest.mark.parametrize("method", METHODS, ids=str)
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
    curves = [NEVER] * 20 + [REFUSED] * refused
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
    found = choose([NEVER] * 20, 1e-9, "high-probability", method="hoeffding-bentkus")
    assert found.missing_images == 3453877620
    assert "at least about 3.45e+9 are needed. Add about 3.45e+9 or" in found.reason
    assert "at least 100 are needed. Add 80 or" in choose([NEVER] * 20, 0.0149, "expected").reason
