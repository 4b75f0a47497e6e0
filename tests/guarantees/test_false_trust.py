import math

import numpy as np
import pytest

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.risk.curve import RiskCurve


def test_the_bound_is_one_whatever_the_metric():
    rng = np.random.default_rng(10)
    maps = [(rng.integers(0, 5, (6, 6)).astype(np.float32), rng.random((6, 6)) * 90) for _ in range(30)]
    curves = [RiskCurve.from_maps(s, d, bound=100.0, tolerance=60.0) for s, d in maps]
    for alpha in (0.05, 0.1, 0.2, 0.3):
        found = threshold(curves, alpha, "false-trust")
        feasible = [
            t
            for t in (0.0, 1.0, 2.0, 3.0, 4.0, math.inf)
            if sum(np.mean((s < t) & (d > 60.0)) for s, d in maps) + 1 <= alpha * 31
        ]
        assert found == max(feasible, default=-math.inf)


def test_supremum_curves_are_refused():
    with pytest.raises(CalibrationError, match="expected share curves"):
        threshold([RiskCurve.worst(1.0)], 0.5, "false-trust")


def test_needs_and_statement():
    rule = guarantee("false-trust")
    assert rule.needs.curve_kind == "share"
    assert rule.minimum_images(0.05, 1.0) == 19
    assert "share of the picture" in rule.statement(0.05, 40, "lab-l1")


def test_equality_of_a_sum_of_shares_is_missed_by_a_rounding_and_never_exceeded():
    """Docs, Arithmetic: a third is rounded up, so the sum of three of them is above 1."""
    wrong = RiskCurve(np.array([0.5], np.float32), np.array([1 / 3], np.float32), 1.0, "share", 0.1)
    none = RiskCurve(np.empty(0, np.float32), np.empty(0, np.float32), 1.0, "share", 0.1)
    curves = [wrong] * 3 + [none] * 16
    assert threshold(curves, 0.1, "false-trust") == 0.5
    assert threshold(curves, 0.100001, "false-trust") == math.inf
