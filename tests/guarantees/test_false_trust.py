import math

import numpy as np
import pytest

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.guarantees.choose import guarantee, threshold
from blackbox_conformal.risk.curve import RiskCurve


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
