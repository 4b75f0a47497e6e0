"""What an audit can find, told before it is paid: against the bounds that judge it afterwards."""

import numpy as np
import pytest
from support.audit_material import calibration_of, curves, detail_curves

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.audits.confidence import fewest, further, stakes, upper_bound
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.study.audit.audited_rule import outlook, refuse_hopeless


@pytest.mark.parametrize("level", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("known", [None, 0.0, 0.6])
def test_so_many_photographs_without_loss_and_no_fewer_confirm(level, known):
    stake = None if known is None else stakes(np.full(30, known * level), level)
    found = fewest(np.zeros(1), level, stake)
    assert found is not None
    assert upper_bound(np.zeros(found), stake=stake) <= level
    assert upper_bound(np.zeros(found - 1), stake=stake) > level


def test_like_losses_confirm_when_there_are_enough_of_them():
    generator = np.random.default_rng(0)
    losses = generator.choice([0.0, 0.05, 0.2], 10, p=[0.7, 0.2, 0.1])
    level = float(losses.mean()) * 3
    needed = fewest(losses, level)
    assert needed is not None
    blocks = -(-needed // 10)
    assert upper_bound(np.tile(losses, blocks)) <= level
    assert upper_bound(np.tile(losses, max(1, blocks - 1))) > level or blocks == 1
    assert further(losses, level) == (needed - 10 if needed > 10 else None)
    assert fewest(np.full(5, 0.5), 0.5) is None


def test_the_outlook_is_that_of_the_calibrations_own_losses():
    calibration = calibration_of(curves(0, 20))
    for rule in (calibration.rule(), PerImage(delta=0.1)):
        found = outlook(calibration, rule, [0.2, 0.3, 0.5])
        assert [one.alpha for one in found] == [0.2, 0.3, 0.5]
        for one in found:
            assert one.fewest is not None
            assert one.likely is None or one.likely >= one.fewest
    (single,) = outlook(calibration, calibration.rule(), [0.3])
    losses = calibration.curves.losses_at(calibration.threshold(0.3))
    stake = stakes(losses, 0.3)
    assert single.fewest is not None
    assert upper_bound(np.zeros(single.fewest), stake=stake) <= 0.3
    assert upper_bound(np.zeros(single.fewest - 1), stake=stake) > 0.3
    assert single.likely == fewest(losses, 0.3, stake)


def test_a_number_fixed_beforehand_needs_fewer_photographs_to_confirm_a_rate_of_misses():
    calibration = calibration_of(curves(0, 20))
    (stopping,) = outlook(calibration, PerImage(delta=0.1), [0.3])
    (fixed,) = outlook(calibration, PerImage(delta=0.1), [0.3], fixed=True)
    assert stopping.fixed == fixed.fewest == 29 < stopping.fewest
    assert fixed.fixed is None
    assert outlook(calibration, calibration.rule(), [0.3], fixed=True) == outlook(
        calibration, calibration.rule(), [0.3]
    )


def test_empty_masks_are_not_audited():
    calibration = calibration_of(curves(0, 4))
    with pytest.raises(CalibrationError, match="every mask would be empty at every level"):
        refuse_hopeless(calibration, calibration.rule(), [0.02, 0.05])
    refuse_hopeless(calibration, calibration.rule(), [0.02, 0.9])
    assert [one.alpha for one in outlook(calibration, calibration.rule(), [0.02, 0.9])] == [0.9]
    from_delivered = Expected(bound_from="delivered")
    refuse_hopeless(calibration, from_delivered, [0.02])
    assert outlook(calibration, from_delivered, [0.02]) == []


def test_what_is_promised_beside_takes_as_many_photographs_as_it_needs():
    detail = [list(detail_curves(0, 40, "marked", 0.9))]
    calibration = calibration_of(curves(0, 40), detail=detail)
    rule, strict = guarantee("marked"), guarantee("marked", largest_error=0.06)
    (alone,) = outlook(calibration, rule, [0.8])
    (both,) = outlook(calibration, strict, [0.8])
    assert alone.fewest is not None
    assert both.fewest is not None
    # Without any loss a level of 0.06 takes about 0.8 / 0.06 times the photographs.
    assert both.fewest > 5 * alone.fewest
