import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import risk_curves as naive
from scipy.stats import beta

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees import _bounds as bounds
from blackbox_conformal.method.guarantees._bounds import binomial_cdf, binomial_tail
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
from blackbox_conformal.method.risk import betting
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

METHODS = (
    {"method": "hoeffding-bentkus"},
    {"method": "mixture"},
    {"method": "binomial"},
    {"method": "mixture", "full": 0.5},
)
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


def test_other_losses_than_0_and_the_bound_count_as_the_bound():
    small = [RiskCurve(np.array([3]), np.array([0.01]), 1.5)] * 100
    assert threshold(small, 0.2, "high-probability", method="binomial") == 3
    assert threshold(small, 0.2, "high-probability") == math.inf


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
    for rule in (
        usual,
        guarantee("high-probability", method="mixture"),
        guarantee("high-probability", method="binomial"),
    ):
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


@pytest.mark.parametrize("parameter", ["weights", "weight_new", "leaked", "bound_new"])
def test_what_the_mathematics_does_not_allow_is_refused_with_the_reason(parameter):
    with pytest.raises(UsageError, match=f"{parameter} cannot be combined with this guarantee: it"):
        guarantee("high-probability", **{parameter: 1})


def test_needs_and_statement():
    rule = guarantee("high-probability", delta=0.05)
    assert rule.needs.sampling == "iid"
    assert "independent draws" in rule.assumptions[0]
    assert "confidence 0.95, 120 calibration photographs" in rule.statement(0.1, 120)


def test_a_tail_that_equals_its_limit_exactly_is_refused():
    """Docs, Arithmetic: one photograph without loss reaches hardly more than half the bound at delta 0.5."""
    empty = RiskCurve(np.empty(0), np.empty(0), 1.0)
    assert threshold([empty], 0.5, "high-probability", delta=0.5, method="hoeffding-bentkus") == -math.inf
    assert threshold([empty], 0.5000001, "high-probability", delta=0.5, method="hoeffding-bentkus") == math.inf
