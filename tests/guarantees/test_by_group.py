import math

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

GROUPS = ["face", "text"] * 15 + ["face"] * 5


def curves(seed=11):
    rng = np.random.default_rng(seed)
    return [RiskCurve(np.sort(rng.permutation(20)[:6]), np.sort(rng.random(6)) + 0.01, 1.5) for _ in GROUPS]


@pytest.mark.parametrize(
    ("of", "parameters"),
    [("expected", {}), ("expected", {"leaked": 1}), ("per-image", {"delta": 0.2}), ("high-probability", {})],
)
def test_a_group_is_treated_as_if_it_were_alone(of, parameters):
    everything = curves()
    for group in ("face", "text"):
        own = [c for c, g in zip(everything, GROUPS, strict=True) if g == group]
        for alpha in (0.2, 0.5, 0.9):
            found = threshold(
                everything, alpha, "by-group", of=of, parameters=parameters, groups=GROUPS, group_new=group
            )
            assert found == threshold(own, alpha, of, **parameters)
    rule = guarantee("by-group", of=of, parameters=parameters, groups=GROUPS, group_new="text")
    inner = guarantee(of, **parameters)
    whole, text = CurveSet.from_curves(everything), CurveSet.from_curves(everything[1:30:2])
    assert rule.risk(whole, 9.0) == inner.risk(text, 9.0)
    assert rule.levels(whole).tolist() == inner.levels(text).tolist()
    assert rule.minimum_images(0.5, 1.5) == inner.minimum_images(0.5, 1.5)
    assert rule.reachable_alpha(15, 1.5) == inner.reachable_alpha(15, 1.5)
    assert rule.needs == inner.needs


def test_weights_are_cut_to_the_group():
    everything, weights = curves(), np.arange(1.0, 36.0)
    own = [i for i, g in enumerate(GROUPS) if g == "text"]
    found = threshold(
        everything, 0.6, "by-group", groups=GROUPS, group_new="text",
        parameters={"weights": weights.tolist(), "weight_new": 3.0},
    )  # fmt: skip
    assert found == threshold([everything[i] for i in own], 0.6, weights=weights[own], weight_new=3.0)


def test_every_group_at_once():
    found = {group: choose(curves(), 0.08, "by-group", groups=GROUPS, group_new=group) for group in ("face", "text")}
    assert found["text"].threshold == -math.inf
    assert (found["text"].missing_images, found["face"].missing_images) == (3, 0) or found["face"].missing_images > 0
    assert found["text"].reason.startswith("group 'text': nothing can be trusted at 0.08: 15 calibration")


def test_an_unknown_group_trusts_nothing():
    found = choose(curves(), 0.5, "by-group", groups=GROUPS, group_new="water")
    assert (found.threshold, found.missing_images) == (-math.inf, 2)
    assert "face, text" in found.reason
    with pytest.raises(UsageError, match="above 0"):
        threshold(curves(), -0.5, "by-group", groups=GROUPS, group_new="water")
    rule = guarantee("by-group", groups=GROUPS, group_new="water")
    assert rule.risk(CurveSet.of(curves()), 3.0) == 1.5
    assert rule.risk(CurveSet.of(curves()), -math.inf) == 0
    assert rule.levels(CurveSet.of(curves())).tolist() == [1.5]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"of": "by-group"}, "finest groups"),
        ({"of": "nothing"}, "expected the name of a guarantee; got 'nothing'; there are: "),
        ({"of": "high-probability", "parameters": {"weights": [1.0]}}, "cannot be combined"),
        ({"groups": ["face"]}, "each of 35 photographs; got 1"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        threshold(curves(), 0.5, "by-group", **{"groups": GROUPS, "group_new": "face", **parameters})


def test_the_statement_counts_the_group():
    rule = guarantee("by-group", groups=GROUPS, group_new="text")
    assert rule.statement(0.1, 35).startswith("Among photographs of group 'text': ")
    assert "calibrated on 15 photographs" in rule.statement(0.1, 35)
    assert "fixed before" in rule.assumptions[-1]
