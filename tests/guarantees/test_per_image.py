import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import risk_curves as naive

from blackbox_conformal.errors import PluginError, UsageError
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

STAIRS = st.lists(st.tuples(st.integers(-2, 5), st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0, 2.0])), max_size=5).map(
    lambda pairs: [
        (float(score), float(np.float32(loss)))
        for score, loss in zip(sorted({s for s, _ in pairs}), sorted({v for _, v in pairs}), strict=False)
    ]
)


def curve(stairs):
    return RiskCurve(np.array([s for s, _ in stairs]), np.array([v for _, v in stairs]), 2.0)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(STAIRS, min_size=1, max_size=12),
    st.sampled_from(["0.1", "0.3", "0.5", "0.7", "1.99"]),
    st.sampled_from(["0.05", "0.1", "0.2", "0.5", "0.9"]),
)
def test_thresholds_are_those_of_the_definition(stairs, tolerance, delta):
    rank = naive.per_image_rank(len(stairs), delta)
    found = threshold([curve(s) for s in stairs], float(tolerance), "per-image", delta=float(delta))
    assert found == naive.per_image_threshold(stairs, tolerance, rank)


def test_ranks_are_those_of_the_definition():
    numbers = [1, 5, 19, 28, 29, 60, 100]
    for n, delta, confidence in itertools.product(numbers, ["0.05", "0.1", "0.3"], [None, "0.9", "0.95"]):
        rule = guarantee("per-image", delta=float(delta), confidence=confidence)
        assert rule.rank(n) == naive.per_image_rank(n, delta, confidence), (n, delta, confidence)


def test_known_ranks():
    assert guarantee("per-image", delta=0.1).rank(100) == 10
    assert guarantee("per-image", delta=0.1, confidence=0.95).rank(100) == 5
    # floor(0.07 * 100) is 7; in floats the product is 7.000000000000001, and 0.29 * 100 is 28.999999999999996.
    assert guarantee("per-image", delta=0.29).rank(99) == 29


@pytest.mark.parametrize(("delta", "confidence"), [(0.1, None), (0.3, None), (0.1, 0.95), (0.07, 0.9)])
def test_the_fewest_photographs_are_the_first_with_a_rank(delta, confidence):
    rule = guarantee("per-image", delta=delta, confidence=confidence)
    n = rule.minimum_images(0.1, 2.0)
    assert rule.rank(n) >= 1
    assert rule.rank(n - 1) == 0
    assert (rule.reachable_alpha(n, 2.0), rule.reachable_alpha(n - 1, 2.0)) == (0.0, 2.0)
    assert choose([curve([])] * (n - 1), 0.1, rule).missing_images == 1
    assert choose([curve([])] * n, 0.1, rule).threshold == math.inf


def test_refused_photographs_use_up_the_misses():
    rule = guarantee("per-image", delta=0.1)
    refused = [RiskCurve.worst(2.0)] * 2
    found = choose(refused + [curve([])] * 20, 0.5, rule)
    assert (found.threshold, found.missing_images) == (-math.inf, 7)
    assert choose(refused + [curve([])] * 27, 0.5, rule).threshold == math.inf


def test_levels_are_where_the_threshold_changes_and_risk_is_their_inverse():
    rng = np.random.default_rng(8)
    curves = CurveSet.from_curves(
        [RiskCurve(np.sort(rng.permutation(40)[:8]), np.sort(rng.random(8)) + 0.01, 1.5) for _ in range(20)]
    )
    rule = guarantee("per-image", delta=0.2)
    levels = rule.levels(curves)
    at = [rule.threshold(curves, level) for level in levels]
    below = [rule.threshold(curves, level * (1 - 1e-9)) for level in levels]
    assert at[-1] == math.inf
    assert len(set(at)) == len(at) > 5
    assert below[1:] == at[:-1]
    for t in sorted(set(curves.scores.tolist())):
        assert rule.threshold(curves, rule.risk(curves, t)) >= t
        assert rule.threshold(curves, rule.risk(curves, t) * (1 - 1e-9)) < t or rule.risk(curves, t) == 0


def test_a_tolerance_of_the_bound_needs_no_photograph():
    assert guarantee("per-image").minimum_images(2.0, 2.0) == 0


@pytest.mark.parametrize("parameter", ["weights", "leaked", "bound_new"])
def test_what_the_mathematics_does_not_allow_is_refused_with_the_reason(parameter):
    with pytest.raises(UsageError, match=f"{parameter} cannot be combined"):
        guarantee("per-image", **{parameter: 1})


def test_needs_and_statement_follow_the_confidence():
    plain, sure = guarantee("per-image", delta=0.1), guarantee("per-image", delta=0.1, confidence=0.95)
    assert (plain.needs.sampling, sure.needs.sampling) == ("exchangeable", "iid")
    assert "exchangeable" in plain.assumptions[0]
    assert "independent" in sure.assumptions[0]
    assert "at least 90 % of new photographs, every trusted pixel" in plain.statement(0.2, 60, "lab-l1")
    assert "With confidence 0.95, 60" in sure.statement(0.2, 60, "lab-l1")


class Stuck(PerImage):
    """Its thresholds do not follow from its risk."""

    def _threshold(self, curves, alpha):
        return -1.0


class Crawling(PerImage):
    """Its thresholds pass the last one by the least step there is, so that they would reach the end in years."""

    def _threshold(self, curves, alpha):
        crawled = getattr(type(self), "at", -1.0)
        type(self).at = math.nextafter(crawled, math.inf)
        return crawled


@pytest.mark.parametrize("kind", [Stuck, Crawling])
def test_a_subclass_whose_risk_and_threshold_disagree_ends_in_a_sentence(kind):
    curves = CurveSet.of([curve([(0.0, 0.5), (1.0, 1.0)])] * 30)
    with pytest.raises(PluginError, match=r"expected risk and _threshold of .* to be inverse to each other"):
        kind(delta=0.1).levels(curves)
    assert guarantee("per-image", delta=0.1).levels(curves).tolist() == [0.0, 0.5, 1.0]
