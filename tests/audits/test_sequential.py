"""The tests of an audit that may stop: what a calibration is allowed, and the least number that can settle it."""

import numpy as np
import pytest

from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.sequential import EARLY, AuditLook, AuditStop, allowed_risk, level_test
from blackbox_conformal.method.guarantees.guarantee import Claim

KNOWN = np.linspace(0, 0.2, 40)


def made_at(level, *, averages=True, alike=True, levels=1, bound=1.0):
    return level_test(Claim(KNOWN, level, bound, averages), alike=alike, levels=levels)


@pytest.mark.parametrize("units", [10, 40, 400])
def test_a_calibration_may_lie_above_its_level_by_less_the_larger_it_is(units):
    allowed = allowed_risk(0.1, units, 0.005)
    assert 0.1 < allowed < 1
    assert allowed > allowed_risk(0.1, 2 * units, 0.005)
    assert allowed < allowed_risk(0.1, units, 0.0005)


def test_too_few_calibration_photographs_allow_everything():
    assert allowed_risk(0.9, 5, 0.005) == 1.0


@pytest.mark.parametrize("averages", [True, False])
@pytest.mark.parametrize("before", [[], [0.0] * 10, [0.3, 0.0, 0.2], [0.9] * 3])
def test_no_fewer_photographs_can_settle_an_audit_whatever_they_show(before, averages):
    """Compared with trying every number in turn."""
    test, losses, most = made_at(0.1, averages=averages), np.array(before), 60
    confirming = [k for k in range(most) if len(losses) + k and test.bound(np.r_[losses, np.zeros(k)]) <= 0.1]
    against = [k for k in range(most) if len(losses) + k and test.p_against(np.r_[losses, np.ones(k)]) <= test.share]
    assert test.fewest_to_confirm(losses, most) == min(confirming, default=most + 1)
    assert test.fewest_against(losses, most) == min(against, default=most + 1)


def test_a_number_that_is_not_there_is_said_to_be_out_of_reach():
    assert made_at(0.1).fewest_to_confirm(np.zeros(0), 5) == 6
    assert made_at(0.1).fewest_against(np.zeros(0), 1) == 2


def test_photographs_that_play_different_parts_are_never_contradicted_early():
    test = made_at(0.1, alike=False)
    assert test.p_against(np.ones(100)) == 1.0
    assert test.fewest_against(np.ones(10), 50) == 51
    assert made_at(0.1, alike=False, averages=False).p_against(np.ones(100)) < EARLY


def test_levels_share_the_error_and_losses_are_taken_in_units_of_their_bound():
    assert made_at(0.1, levels=5).share == pytest.approx(EARLY / 5)
    assert made_at(0.4, bound=2.0).level == pytest.approx(0.2)
    assert LEVEL > EARLY


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("confirmed", "ended after 12 of 40 photographs: the running bound of the risk is not above what is claimed"),
        ("contradicted", "ended after 12 of 40 photographs: the risk is above what a guarantee that holds allows"),
        (None, "All 40 photographs were looked at"),
    ],
)
def test_why_it_ended_is_said(reason, said):
    last = AuditLook(40 if reason is None else 12, (0.09,))
    assert said in AuditStop(40, (AuditLook(8, (0.2,)), last), reason, (1.0,), EARLY).sentence
