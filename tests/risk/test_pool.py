import math

import numpy as np

from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.pool import pool


def test_the_mean_is_exact_up_to_a_float32_rounded_up():
    rng = np.random.default_rng(13)
    curves = [RiskCurve(np.sort(rng.permutation(30)[:7]), np.sort(rng.random(7)) + 0.01, 1.1) for _ in range(7)]
    pooled = pool(CurveSet.from_curves(curves), ("a", "b", "a", "a", "b", "c", "c"))
    assert len(pooled) == 3
    for mean, members in zip(pooled, ((0, 2, 3), (1, 4), (5, 6)), strict=True):
        for t in (-math.inf, 0.0, 1.0, 5.5, 12.0, 29.0, math.inf):
            exact = math.fsum(curves[i].loss(t) for i in members) / len(members)
            assert exact <= mean.loss(t) + 1e-17
            assert mean.loss(t) <= exact * (1 + 2**-22)


def test_a_refused_tile_weighs_on_its_photograph():
    good, refused = RiskCurve(np.empty(0), np.empty(0), 1.0), RiskCurve.worst(1.0)
    mean = pool(CurveSet.from_curves([good, refused]), ("a", "a"))[0]
    assert (mean.loss(-math.inf), mean.loss(-1e30), mean.loss(math.inf)) == (0, 0.5, 0.5)
    assert pool(CurveSet.from_curves([refused, refused]), ("a", "a"))[0] == refused
