"""From groups and tiles to units that can be split."""

import numpy as np
import pytest
from support.audit_material import curves

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected

TILES = ("x", "y", "x", "z", "y", "x")
THRESHOLDS = np.linspace(0, 1.05, 22)


def test_plain_photographs_are_their_own_units():
    given = curves(0, 6)
    found = Expected().unit_curves(given)
    assert (found.rule, found.curves, found.clusters) == (Expected(), given, None)


def test_tiles_become_photographs_with_mean_losses_and_shares():
    given = curves(0, 6)
    found = ByCluster(of="expected", clusters=TILES).unit_curves(given)
    assert isinstance(found.rule, Expected)
    assert len(found.curves) == 3
    for threshold in THRESHOLDS:
        losses = [curve.loss(threshold) for curve in given]
        shares = [curve.trusted_share(threshold) for curve in given]
        for place, name in enumerate("xyz"):
            own = [index for index, other in enumerate(TILES) if other == name]
            exact = np.mean([losses[index] for index in own])
            assert exact <= found.curves[place].loss(threshold) <= exact + 1e-6
            assert found.trusted_shares_at(threshold)[place] == pytest.approx(np.mean([shares[k] for k in own]))


def test_a_group_keeps_its_own_photographs_only():
    given = curves(0, 6)
    rule = ByGroup(of="expected", groups=("a", "b", "a", "b", "b", "a"), group_new="b")
    found = rule.unit_curves(given)
    assert list(found.curves) == [given[1], given[3], given[4]]
    assert found.rule.threshold(found.curves, 0.6) == rule.threshold(given, 0.6)


def test_a_group_of_tiles_keeps_whole_photographs():
    given = curves(0, 6)
    inner = {"of": "expected", "parameters": {}, "clusters": TILES}
    rule = ByGroup(of="by-cluster", parameters=inner, groups=("a", "b", "a", "a", "b", "a"), group_new="a")
    found = rule.unit_curves(given)
    assert found.clusters == ("x", "x", "z", "x")
    assert len(found.curves) == 2
    assert found.rule.threshold(found.curves, 0.8) == rule.threshold(given, 0.8)


def test_an_empty_group_is_named():
    with pytest.raises(CalibrationError, match="group 'c'; there are none, only a, b"):
        ByGroup(groups=("a", "b"), group_new="c").unit_curves(curves(0, 2))


def test_pools_hold_units_of_one_kind():
    given, unseen = curves(0, 6), curves(1, 4)
    plain, tiles = Expected().unit_curves(given), ByCluster(clusters=TILES).unit_curves(given)
    assert list(plain.pooled(unseen, None)) == [*given, *unseen]
    assert len(tiles.pooled(unseen, ("p", "q", "p", "q"))) == 3 + 2
    assert plain.pooled(unseen, ("p", "q", "p", "q")) is None
    assert tiles.pooled(unseen, None) is None
