"""Groups, and tiles that count as their photograph: as if they were alone, and from them to units that can be split."""

import math
from fractions import Fraction

import numpy as np
import pytest
from naive import risk_curves as naive
from support.audit_material import curves as made_up

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
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
    for alpha, clusters, found in (
        (0.12, "abcdefgh", math.inf),
        (0.12, "aabbccdd", -math.inf),
        (0.2, "aabbccdd", math.inf),
    ):
        assert threshold(one, alpha, "by-cluster", clusters=list(clusters)) == found


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


GROUPS = ["face", "text"] * 15 + ["face"] * 5


def in_groups(seed=11):
    rng = np.random.default_rng(seed)
    return [RiskCurve(np.sort(rng.permutation(20)[:6]), np.sort(rng.random(6)) + 0.01, 1.5) for _ in GROUPS]


@pytest.mark.parametrize(
    ("of", "parameters"),
    [("expected", {}), ("expected", {"leaked": 1}), ("per-image", {"delta": 0.2}), ("high-probability", {})],
)
def test_a_group_is_treated_as_if_it_were_alone(of, parameters):
    everything = in_groups()
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
    everything, weights = in_groups(), np.arange(1.0, 36.0)
    own = [i for i, g in enumerate(GROUPS) if g == "text"]
    found = threshold(
        everything, 0.6, "by-group", groups=GROUPS, group_new="text",
        parameters={"weights": weights.tolist(), "weight_new": 3.0},
    )  # fmt: skip
    assert found == threshold([everything[i] for i in own], 0.6, weights=weights[own], weight_new=3.0)


def test_every_group_at_once():
    found = {group: choose(in_groups(), 0.08, "by-group", groups=GROUPS, group_new=group) for group in ("face", "text")}
    assert found["text"].threshold == -math.inf
    assert (found["text"].missing_images, found["face"].missing_images) == (3, 0) or found["face"].missing_images > 0
    assert found["text"].reason.startswith("group 'text': nothing can be trusted at 0.08: 15 calibration")


def test_an_unknown_group_trusts_nothing():
    found = choose(in_groups(), 0.5, "by-group", groups=GROUPS, group_new="water")
    assert (found.threshold, found.missing_images) == (-math.inf, 2)
    assert "face, text" in found.reason
    with pytest.raises(UsageError, match="above 0"):
        threshold(in_groups(), -0.5, "by-group", groups=GROUPS, group_new="water")
    rule = guarantee("by-group", groups=GROUPS, group_new="water")
    assert rule.risk(CurveSet.of(in_groups()), 3.0) == 1.5
    assert rule.risk(CurveSet.of(in_groups()), -math.inf) == 0
    assert rule.levels(CurveSet.of(in_groups())).tolist() == [1.5]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"of": "by-group"}, "finest groups"),
        ({"of": "nothing"}, "expected the name of a guarantee; got 'nothing'; there are: "),
        ({"of": "high-probability", "parameters": {"weights": [1.0]}}, "cannot be combined"),
        ({"groups": ["face"]}, "each of 35 photographs; got 1"),
    ],
)
def test_parameters_of_groups_that_cannot_be_used_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        threshold(in_groups(), 0.5, "by-group", **{"groups": GROUPS, "group_new": "face", **parameters})


def test_the_statement_counts_the_group():
    rule = guarantee("by-group", groups=GROUPS, group_new="text")
    assert rule.statement(0.1, 35).startswith("Among photographs of group 'text': ")
    assert "calibrated on 15 photographs" in rule.statement(0.1, 35)
    assert "fixed before" in rule.assumptions[-1]


TILES = ("x", "y", "x", "z", "y", "x")


def test_plain_photographs_are_their_own_units_and_a_group_keeps_its_own_only():
    given = made_up(0, 6)
    found = Expected().unit_curves(given)
    assert (found.rule, found.curves, found.clusters) == (Expected(), given, None)
    rule = ByGroup(of="expected", groups=("a", "b", "a", "b", "b", "a"), group_new="b")
    found = rule.unit_curves(given)
    assert list(found.curves) == [given[1], given[3], given[4]]
    assert found.rule.threshold(found.curves, 0.6) == rule.threshold(given, 0.6)
    with pytest.raises(CalibrationError, match="group 'c'; there are none, only a, b"):
        ByGroup(groups=("a", "b"), group_new="c").unit_curves(made_up(0, 2))


def test_tiles_become_photographs_with_mean_losses_and_shares():
    given = made_up(0, 6)
    found = ByCluster(of="expected", clusters=TILES).unit_curves(given)
    assert isinstance(found.rule, Expected)
    assert len(found.curves) == 3
    for at in np.linspace(0, 1.05, 22):
        losses = [curve.loss(at) for curve in given]
        shares = [curve.trusted_share(at) for curve in given]
        for place, name in enumerate("xyz"):
            own = [index for index, other in enumerate(TILES) if other == name]
            exact = np.mean([losses[index] for index in own])
            assert exact <= found.curves[place].loss(at) <= exact + 1e-6
            assert found.trusted_shares_at(at)[place] == pytest.approx(np.mean([shares[k] for k in own]))


def test_a_group_of_tiles_keeps_whole_photographs():
    given = made_up(0, 6)
    inner = {"of": "expected", "parameters": {}, "clusters": TILES}
    rule = ByGroup(of="by-cluster", parameters=inner, groups=("a", "b", "a", "a", "b", "a"), group_new="a")
    found = rule.unit_curves(given)
    assert found.clusters == ("x", "x", "z", "x")
    assert len(found.curves) == 2
    assert found.rule.threshold(found.curves, 0.8) == rule.threshold(given, 0.8)


def test_pools_hold_units_of_one_kind():
    given, unseen = made_up(0, 6), made_up(1, 4)
    plain, tiles = Expected().unit_curves(given), ByCluster(clusters=TILES).unit_curves(given)
    assert list(plain.pooled(unseen, None)) == [*given, *unseen]
    assert len(tiles.pooled(unseen, ("p", "q", "p", "q"))) == 3 + 2
    assert plain.pooled(unseen, ("p", "q", "p", "q")) is None
    assert tiles.pooled(unseen, None) is None
