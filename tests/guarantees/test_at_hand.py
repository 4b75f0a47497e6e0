import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.at_hand import bound_of_delivered
from blackbox_conformal.guarantees.choose import threshold
from blackbox_conformal.metrics.lab_l1 import LabL1
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.metrics.rgb_l1 import RgbL1
from blackbox_conformal.metrics.rgb_linf import RgbLinf
from blackbox_conformal.risk.curve import RiskCurve

ORDERS = [
    {},
    {"kernel": "gaussian", "sigma": 2.0},
    {"order": "difference-of-blurs", "kernel": "gaussian", "sigma": 2.0},
    {"order": "difference-of-blurs", "kernel": "box", "size": 5},
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [LabL1, RgbL1, RgbLinf])
def test_no_truth_exceeds_the_bound(kind, order):
    rng = np.random.default_rng(55)
    metric = kind(**order)
    delivered = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    most = metric.farthest(delivered)
    corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
    closest = 0.0
    for _ in range(20):
        for truth in (rng.integers(0, 256, (24, 24, 3), dtype=np.uint8), corners[rng.integers(0, 8, (24, 24))]):
            found = metric.map(truth, delivered)
            assert (found <= most).all()
            closest = max(closest, float((found / most).max()))
    flat = [np.broadcast_to(corner, (24, 24, 3)).copy() for corner in corners]
    farthest_corner = np.argmax([kind().map(truth, delivered) for truth in flat], axis=0)
    for truth in (*flat, corners[farthest_corner]):
        found = metric.map(truth, delivered)
        assert (found <= most).all()
        closest = max(closest, float((found / most).max()))
    assert closest > 0.9
    assert float(most.mean()) < metric.bound


def test_the_staircase_lowers_the_least_number_of_photographs():
    metric = LabL1(kernel="gaussian", sigma=2.0)
    delivered = np.full((16, 16, 3), 128, np.uint8)
    own = bound_of_delivered(metric, delivered, np.zeros((16, 16), np.float32))
    empty = [RiskCurve(np.empty(0), np.empty(0), metric.bound)] * 12
    assert threshold(empty, 0.1) == -np.inf
    assert threshold(empty, 0.1, bound_new=own) == np.inf


def test_other_metrics_are_refused():
    with pytest.raises(UsageError, match="the metric's own bound holds"):
        Metric().farthest(np.zeros((2, 2, 3), np.uint8))
