import math
from fractions import Fraction

import numpy as np
import pytest

from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet, pool


def test_the_mean_is_exact_up_to_a_float32_rounded_up():
    rng = np.random.default_rng(13)
    curves = [RiskCurve(np.sort(rng.permutation(30)[:7]), np.sort(rng.random(7)) + 0.01, 1.1) for _ in range(7)]
    pooled = pool(CurveSet.from_curves(curves), ("a", "b", "a", "a", "b", "c", "c"))
    assert len(pooled) == 3
    for mean, members in zip(pooled, ((0, 2, 3), (1, 4), (5, 6)), strict=True):
        for t in (-math.inf, 0.0, 1.0, 5.5, 12.0, 29.0, math.inf):
            exact = sum(Fraction(curves[i].loss(t)) for i in members) / len(members)
            assert exact <= Fraction(mean.loss(t)) <= exact * (1 + Fraction(1, 2**22))


@pytest.mark.parametrize("bits", [10, 23, 40, 52, 53])
def test_a_mean_barely_above_a_float32_is_not_rounded_down(bits):
    curves = [RiskCurve(np.ones(1), np.array([loss]), 1.1) for loss in (1.0, 2.0**-bits)]
    mean = pool(CurveSet.from_curves(curves), ("a", "a"))[0].loss(math.inf)
    assert Fraction(mean) >= (1 + Fraction(1, 2**bits)) / 2
    assert mean <= np.nextafter(np.float32((1 + 2.0**-bits) / 2), np.float32(1))


def test_a_refused_tile_weighs_on_its_photograph():
    good, refused = RiskCurve(np.empty(0), np.empty(0), 1.0), RiskCurve.worst(1.0)
    mean = pool(CurveSet.from_curves([good, refused]), ("a", "a"))[0]
    assert (mean.loss(-math.inf), mean.loss(-1e30), mean.loss(math.inf)) == (0, 0.5, 0.5)
    assert pool(CurveSet.from_curves([refused, refused]), ("a", "a"))[0] == refused
