"""Which guarantee is audited, and which tiles belong to which photograph."""

import pytest
from support.audit_material import calibration_of, curves

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.study.audit.audited_rule import audited_rule, is_own, photographs_of

GROUPS = ("day", "day", "night", "day")
TILES = {"c0": "p", "c1": "p", "c2": "q", "c3": "r"}


@pytest.fixture
def calibration():
    return calibration_of(curves(0, 4), groups=GROUPS, guarantee={"name": "per-image", "delta": 0.3})


def test_the_calibrations_own_guarantee_is_the_default(calibration):
    rule = audited_rule(calibration)
    assert rule == PerImage(delta=0.3)
    assert is_own(calibration, rule)
    assert is_own(calibration, audited_rule(calibration, "per-image:delta=0.3"))


@pytest.mark.parametrize(
    ("guarantee", "expected"),
    [
        ("per-image:delta=0.2", PerImage(delta=0.2)),
        ("expected", Expected()),
        ("expected:bound_from=delivered", Expected(bound_from="delivered")),
        ("false-trust:tolerance=0.2", FalseTrust(tolerance=0.2)),
        ("high-probability:delta=0.1", HighProbability(delta=0.1)),
    ],
)
def test_another_guarantee_is_not_the_own(calibration, guarantee, expected):
    rule = audited_rule(calibration, guarantee)
    assert rule == expected
    assert not is_own(calibration, rule)


def test_a_group_wraps_the_guarantee(calibration):
    rule = audited_rule(calibration, group="day")
    own = tuple(image.group for image in calibration.images)
    assert isinstance(rule, ByGroup)
    assert (rule.inner, rule.groups, rule.group_new) == (PerImage(delta=0.3), own, "day")
    assert not is_own(calibration, rule)


def test_tiles_of_calibration_photographs_make_photographs(calibration):
    rule = audited_rule(calibration, "expected:leaked=1", tiles={**TILES, "new": "s"})
    assert isinstance(rule, ByCluster)
    assert rule.inner == Expected(leaked=1)
    assert rule.clusters == tuple(TILES[image.name] for image in calibration.images)
    grouped = audited_rule(calibration, "expected", group="day", tiles=TILES)
    assert isinstance(grouped, ByGroup)
    assert isinstance(grouped.inner, ByCluster)
    assert photographs_of(grouped, ["new"], {**TILES, "new": "s"}) == ("s",)


def test_a_calibration_that_knows_its_tiles_needs_no_table_of_them():
    found = list(curves(0, 4))
    plain = calibration_of(found)
    images = [one.model_copy(update={"cluster": TILES[one.name]}) for one in plain.images]
    tiled = type(plain).from_curves(plain.procedure, plain.bound, images, list(plain.curves))
    rule = audited_rule(tiled, tiles={"new": "s"})
    assert rule == audited_rule(plain, tiles=TILES)
    assert is_own(tiled, rule)
    assert tiled.threshold(0.9) == plain.threshold(0.9, "by-cluster", clusters=rule.clusters)
    assert rule.counted(tiled.n) == 3
    grouped = audited_rule(calibration_of(found, groups=GROUPS), "expected", group="day", tiles=TILES)
    assert "calibrated on 2 photographs" in grouped.statement(0.5, 4)
    assert grouped.counted(4) == 2
    with pytest.raises(CalibrationError, match="some have none"):
        type(plain).from_curves(plain.procedure, plain.bound, [*images[:3], plain.images[3]], list(plain.curves))
    with pytest.raises(CalibrationError, match="tiles of 1 were used for it, first q"):
        photographs_of(rule, ["a"], {"a": "q"})


def test_tiles_of_audit_photographs_alone_leave_the_guarantee(calibration):
    assert audited_rule(calibration, "expected", tiles={"new": "s"}) == Expected()


@pytest.mark.parametrize(("name", "way"), [("by-cluster", "--tiles FILE"), ("by-group", "--group NAME")])
def test_groups_and_tiles_are_named_beside_the_guarantee_within(calibration, name, way):
    with pytest.raises(UsageError, match=f"guarantee that holds within; got {name}.*{way}"):
        audited_rule(calibration, name)
    with pytest.raises(UsageError, match=way):
        audited_rule(calibration, f"{name}:of=expected")


def test_some_calibration_photographs_without_a_photograph_are_refused(calibration):
    with pytest.raises(UsageError, match=r"of every calibration picture or of none; 1 of 4 have none"):
        audited_rule(calibration, "expected", tiles={name: TILES[name] for name in ("c0", "c1", "c2")})


def test_audited_tiles_name_their_photographs(calibration):
    rule = audited_rule(calibration, "expected", tiles=TILES)
    assert photographs_of(rule, ["a", "b"], None) is None
    assert photographs_of(rule, ["b", "a"], {"a": "one", "b": "two", "other": "x"}) == ("two", "one")
    with pytest.raises(UsageError, match="1 of 2 have none, first b"):
        photographs_of(rule, ["a", "b"], {"a": "one"})
    with pytest.raises(CalibrationError, match="tiles of 1 were used for it, first q"):
        photographs_of(rule, ["a", "b"], {"a": "one", "b": "q"})
    assert photographs_of(Expected(), ["b"], {"b": "q"}) == ("q",)
