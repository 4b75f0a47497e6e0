"""One pool for both sides: the calibration's photographs alone, or with those of an audit."""

import pytest
from support.audit_material import audited_picture, calibration_of, curves, maps

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.random_splits import split_audit
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.audit.auditing import audit_splits
from blackbox_conformal.study.audit.conclude import conclude

LEVELS = [0.4, 0.6]


@pytest.fixture(scope="module")
def calibration():
    return calibration_of(curves(0, 20), groups=["ab"[k % 2] for k in range(20)])


def audit_of(calibration, rule, count=9, clusters=None):
    import numpy as np

    rng = np.random.default_rng(5)
    thresholds = [rule.threshold(calibration.curves_for(rule), alpha) for alpha in LEVELS]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(count)]
    return conclude(calibration, rule, LEVELS, pictures, clusters=clusters)


def test_a_calibration_alone_is_split_at_seven_tenths(calibration):
    found = audit_splits(calibration, LEVELS, splits=30, seed=4)
    assert found == split_audit(
        Expected(), calibration.curves, LEVELS, splits=30, share=0.7, seed=4, error="rgb-linf error"
    )
    assert (found.n_calibration, found.n_measured) == (14, 6)
    assert audit_splits(calibration, LEVELS, splits=3, share=0.5).n_calibration == 10


def test_audited_photographs_join_and_as_many_calibrate_as_did(calibration):
    audit = audit_of(calibration, Expected())
    found = audit_splits(calibration, LEVELS, audited=audit, splits=30)
    together = CurveSet.from_curves([*calibration.curves, *(one.curve for one in audit.pictures)])
    assert found == split_audit(Expected(), together, LEVELS, splits=30, n_calibration=20, error="rgb-linf error")
    assert (found.n_calibration, found.n_measured) == (20, 9)
    halves = audit_splits(calibration, LEVELS, audited=audit, splits=3, share=0.5)
    assert (halves.n_calibration, halves.n_measured) == (14, 15)


def test_another_guarantee_is_split_by_its_own_rule(calibration):
    found = audit_splits(calibration, LEVELS, splits=20, guarantee="per-image:delta=0.3")
    assert found == split_audit(PerImage(delta=0.3), calibration.curves, LEVELS, splits=20, error="rgb-linf error")
    assert [level.claimed for level in found.levels] == [0.3, 0.3]


def test_a_group_takes_the_audit_into_it(calibration):
    rule = calibration.rule_of_group("b")
    own = [image.group == "b" for image in calibration.images]
    audit = audit_of(calibration, rule)
    found = audit_splits(calibration, LEVELS, audited=audit, splits=20, group="b")
    mine = [curve for curve, is_own in zip(calibration.curves, own, strict=True) if is_own]
    together = CurveSet.from_curves([*mine, *(one.curve for one in audit.pictures)])
    alone = split_audit(Expected(), together, LEVELS, splits=20, n_calibration=sum(own), error="rgb-linf error")
    assert found.levels == alone.levels
    assert isinstance(rule, ByGroup)


def test_tiles_join_as_photographs(calibration):
    tiles = {image.name: f"p{int(image.name[1:]) // 2}" for image in calibration.images}
    new = {f"a{k}": f"q{k // 3}" for k in range(9)}
    rule = ByCluster(of="expected", clusters=tuple(tiles[image.name] for image in calibration.images))
    audit = audit_of(calibration, rule, clusters=[new[f"a{k}"] for k in range(9)])
    found = audit_splits(calibration, LEVELS, audited=audit, splits=20, tiles={**tiles, **new})
    assert (found.n_calibration, found.n_measured) == (10, 3)
    assert found.unit == "photographs with all their tiles"
    with pytest.raises(UsageError, match="groups or tiles, not both"):
        audit_splits(calibration, LEVELS, audited=audit, splits=3, tiles={**tiles, **new}, group="b")


def test_tiles_on_one_side_only_cannot_change_sides(calibration):
    new = {f"a{k}": f"q{k // 3}" for k in range(9)}
    audit = audit_of(calibration, Expected(), clusters=list(new.values()))
    with pytest.raises(UsageError, match="cannot change sides"):
        audit_splits(calibration, LEVELS, audited=audit, splits=3, tiles=new)
