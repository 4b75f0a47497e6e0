import math

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.choose import guarantee
from blackbox_conformal.guarantees.sample_size import Need, need, needs, projection, reachable
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.curve_set import CurveSet


def test_the_table_of_least_numbers():
    rows = {
        (3.0, "expected"): [149, 59, 29, 14],
        (1.9576, "expected"): [97, 39, 19, 9],
        (1.0, "false-trust"): [49, 19, 9, 4],
        (1.9576, "high-probability"): [292, 116, 58, 28],
    }
    for (bound, name), images in rows.items():
        rule = guarantee(name, **({"delta": 0.05} if name == "high-probability" else {}))
        assert [row.images for row in needs(rule, (0.02, 0.05, 0.1, 0.2), bound)] == images


def test_what_is_missing_is_priced():
    rule = guarantee("expected")
    assert need(rule, 0.1, 3.0, n=20, usd_per_image=0.5) == Need(0.1, 29, 9, 4.5)
    assert need(rule, 0.1, 3.0, n=40) == Need(0.1, 29, 0, None)


def test_what_a_budget_reaches():
    rule = guarantee("expected")
    n, alpha = reachable(rule, 20, 3.0, usd_per_image=0.5, budget_usd=4.6)
    assert n == 29
    assert alpha == pytest.approx(0.1)
    assert reachable(rule, 20, 3.0, usd_per_image=0.0, budget_usd=4.6)[0] == 20
    assert need(rule, alpha, 3.0, n).more == 0


def test_the_projection_is_the_threshold_that_many_copies_would_have():
    rng = np.random.default_rng(60)
    maps = [(rng.integers(0, 9, (8, 8)).astype(np.float32), rng.random((8, 8)) / 2) for _ in range(12)]
    maps = [(scores, metric * (scores + 1) / 9) for scores, metric in maps]
    curves = [RiskCurve.from_maps(scores, metric, bound=1.0) for scores, metric in maps]
    rule = guarantee("expected")
    for copies in (1, 2, 5):
        many = CurveSet.from_curves(curves * copies)
        t, share = projection(rule, CurveSet.from_curves(curves), 0.2, 12 * copies)
        assert t == rule.threshold(many, 0.2)
        assert share == pytest.approx(np.mean([(scores < t).mean() for scores, _ in maps]), abs=0.02)
    assert projection(rule, many, 0.2, 3) == (-math.inf, 0.0)
    assert projection(rule, many, 0.2, 1000)[1] >= projection(rule, many, 0.2, 20)[1]


@pytest.mark.parametrize("rule", [guarantee("per-image"), guarantee("expected", leaked=1)])
def test_other_guarantees_have_no_projection(rule):
    with pytest.raises(UsageError, match="plain expected"):
        projection(rule, CurveSet.from_curves([RiskCurve.worst(1.0)]), 0.2, 10)
