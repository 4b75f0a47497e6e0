"""A calibration by a metric of declared bands keeps its level, on scores full of ties; the literal rule does not."""

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.stages.settings import member

SHARES = np.array([0.02, 0.08, 0.25, 0.46, 0.9, 1.0])
"""Six scores, and how large errors are where a pixel has each."""

REPETITIONS, N, NEW, ALPHA = 15, 20, 20, 0.15


def curves(rng, metric, count):
    """Curves of pictures of 4 bands whose errors, in all bands alike, differ in size between pictures."""
    for _ in range(count):
        scores = rng.integers(0, 6, (8, 8))
        errors = (0.4 + 0.6 * rng.random()) * SHARES[scores] * rng.random((8, 8)) ** 0.3
        truth = rng.random((8, 8, 4)) * (1 - errors[:, :, None])
        levels = [np.rint(65535 * share).astype(np.uint16) for share in (truth, truth + errors[:, :, None])]
        yield RiskCurve.from_maps(scores.astype(np.float32), metric.capped_map(*levels), bound=metric.capped_bound)


@pytest.mark.parametrize("name", ["band-l1", "band-linf"])
def test_the_rule_keeps_alpha_and_the_literal_one_breaks_it(tools, name):
    rng = np.random.default_rng(len(name))
    metric, rule = member("metrics", name), guarantee("expected")
    strict, literal = [], []
    for _ in range(REPETITIONS):
        threshold = rule.threshold(CurveSet.from_curves(list(curves(rng, metric, N))), ALPHA)
        new = list(curves(rng, metric, NEW))
        strict.append(np.mean([curve.loss(threshold) for curve in new]))
        literal.append(np.mean([curve.loss(np.nextafter(threshold, np.inf)) for curve in new]))
    assert tools.verdict(strict).keeps(ALPHA)
    assert tools.verdict(strict).mean > 0.1 * ALPHA
    assert tools.verdict(literal).breaks(ALPHA)
