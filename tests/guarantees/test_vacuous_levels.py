"""A level that no loss can exceed promises nothing and is refused, with the likely percent typo put right."""

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

BOUND = 1.9576


def curves(count=40, kind="supremum", bound=BOUND):
    one = RiskCurve(
        np.array([0.5], np.float32),
        np.array([0.01], np.float32),
        bound,
        kind,
        None if kind == "supremum" else 0.1,
    )
    return CurveSet.from_curves([one] * count)


RULES = [
    guarantee("expected"),
    guarantee("per-image"),
    guarantee("per-image", confidence=0.9),
    guarantee("high-probability"),
    guarantee("high-probability", method="mixture"),
    guarantee("by-cluster", clusters=tuple(str(k) for k in range(40))),
    guarantee("by-group", groups=("a",) * 40, group_new="a"),
    guarantee("by-group", groups=("a",) * 40, group_new="b"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_guarantee_refuses_a_level_at_the_bound_or_above(rule):
    for alpha in (BOUND, 3.0):
        for ask in (rule.threshold, rule.choose):
            with pytest.raises(UsageError, match=r"expected alpha below 1\.9576.*nothing would be promised"):
                ask(curves(), alpha)
    rule.choose(curves(), 1.95)


def test_a_percentage_is_recognised():
    with pytest.raises(UsageError, match=r"For 5 % give --alpha 0\.05$"):
        guarantee("expected").threshold(curves(), 5)
    with pytest.raises(UsageError, match=r"promised$"):
        guarantee("expected").threshold(curves(bound=0.5), 0.6)
    with pytest.raises(UsageError, match=r"promised$"):
        guarantee("expected").threshold(curves(), 500)


def test_a_share_of_the_picture_is_below_1():
    rule = guarantee("false-trust", tolerance=0.1)
    with pytest.raises(UsageError, match=r"expected alpha below 1, .*For 1 % give --alpha 0\.01$"):
        rule.threshold(curves(kind="share", bound=1.0), 1)
    for parameters in ({"delta": 1}, {"delta": 5}, {"confidence": 95}):
        with pytest.raises(UsageError):
            guarantee("per-image", **parameters)
