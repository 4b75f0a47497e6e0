import math
from fractions import Fraction

import numpy as np
import pytest
from naive import risk_curves as naive

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

PHOTOGRAPHS = ["a", "b", "a", "c", "c", "a", "a", "d", "e", "f", "g"]


def curves(seed=12):
    rng = np.random.default_rng(seed)
    return [
        RiskCurve(np.sort(rng.permutation(9)[:4]), np.sort(rng.choice(np.arange(1, 9), 4, False)) / 8, 1.0)
        for _ in PHOTOGRAPHS
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_of_a_photographs_tiles_counts_once(seed):
    tiles = curves(seed)
    stairs = [list(zip(c.scores.tolist(), c.losses.tolist(), strict=True)) for c in tiles]
    names = sorted(set(PHOTOGRAPHS))
    for alpha in ("0.2", "0.3", "0.4", "0.5", "0.6", "0.75", "0.9"):
        expected = -math.inf
        for t in naive.candidates(stairs)[:-1]:
            means = [
                np.mean([Fraction(naive.loss(s, t)) for s, p in zip(stairs, PHOTOGRAPHS, strict=True) if p == name])
                for name in names
            ]
            if sum(means) + 1 <= Fraction(alpha) * (len(names) + 1):
                expected = t
                break
        assert threshold(tiles, float(alpha), "by-cluster", clusters=PHOTOGRAPHS) == expected


def test_cutting_a_photograph_in_more_tiles_does_not_add_photographs():
    one = [RiskCurve(np.empty(0), np.empty(0), 1.0)] * 8
    assert threshold(one, 0.12, "by-cluster", clusters=list("abcdefgh")) == math.inf
    assert threshold(one, 0.12, "by-cluster", clusters=list("aabbccdd")) == -math.inf
    assert threshold(one, 0.2, "by-cluster", clusters=list("aabbccdd")) == math.inf


def test_the_guarantee_within_sees_photographs():
    chosen = {"delta": 0.2, "method": "hoeffding-bentkus"}
    rule = guarantee("by-cluster", of="high-probability", parameters=chosen, clusters=PHOTOGRAPHS)
    inner = guarantee("high-probability", **chosen)
    tiles = CurveSet.from_curves(curves())
    assert rule.levels(tiles).size > 1
    names = sorted(set(PHOTOGRAPHS))
    means = [np.mean([c.loss(4.0) for c, p in zip(curves(), PHOTOGRAPHS, strict=True) if p == name]) for name in names]
    constant = [RiskCurve(np.array([-1.0]), np.array([mean]), 1.0) for mean in means]
    assert rule.risk(tiles, 4.0) == pytest.approx(inner.risk(CurveSet.from_curves(constant), 4.0))
    assert rule.risk(tiles, 4.0) != inner.risk(tiles, 4.0)
    assert rule.needs.sampling == "iid"
    assert rule.minimum_images(0.3, 1.0) == inner.minimum_images(0.3, 1.0)
    assert rule.reachable_alpha(7, 1.0) == inner.reachable_alpha(7, 1.0)
    assert "7 calibration photographs" in rule.statement(0.1, 11)
    assert "Tiles of one photograph" in rule.assumptions[-1]


def test_groups_of_photographs_in_tiles():
    groups = ["x" if name in "abc" else "y" for name in PHOTOGRAPHS]
    tiles = curves()
    own = [i for i, group in enumerate(groups) if group == "x"]
    found = threshold(
        tiles, 0.8, "by-group", of="by-cluster", parameters={"clusters": PHOTOGRAPHS}, groups=groups, group_new="x"
    )
    assert found == threshold([tiles[i] for i in own], 0.8, "by-cluster", clusters=[PHOTOGRAPHS[i] for i in own])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"of": "per-image"}, "worst tile"),
        ({"of": "by-group"}, "expected a guarantee that bounds a mean"),
        ({"parameters": {"bound_new": 0.5}}, "bound_new cannot be combined with photographs in tiles"),
        ({"parameters": {"weights": [1.0], "weight_new": 1.0}}, "weights cannot be combined with photographs in tiles"),
        ({"parameters": {"delta": 0.5}}, "Its parameters are"),
        ({"clusters": ["a"]}, "each of 11 photographs; got 1"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        threshold(curves(), 0.5, "by-cluster", **{"clusters": PHOTOGRAPHS, **parameters})
