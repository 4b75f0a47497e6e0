"""The per-image guarantee misses as seldom as it says, on average and with confidence; broken variants miss more."""

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.guarantee import guarantee


def photographs(rng, n):
    """(n, 40) losses: the score at which a photograph first exceeds 0.5 is uniform on 40 tied values."""
    limit = rng.integers(0, 40, (n, 1))
    return np.where(np.arange(40) >= limit, 0.75, 0.25)


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("delta", [0.05, 0.1, 0.3])
def test_the_miss_rate_is_kept_and_the_literal_rule_breaks_it(tools, n, delta):
    rng = np.random.default_rng([n, int(100 * delta)])
    rule = guarantee("per-image", delta=delta)
    strict, literal = [], []
    for _ in range(500):
        t = rule.threshold(tools.curves(photographs(rng, n)), 0.5)
        # P(limit < t) and P(limit <= t) of a new photograph, known exactly.
        strict.append(max(t, 0) / 40)
        literal.append((t + 1) / 40 if t >= 0 else 0)
    assert tools.verdict(strict).keeps(delta)
    assert tools.verdict(strict).mean > delta - 1 / (n + 1) - 2 / 40
    # At n = 20 the rank is rounded down so far (delta 0.05: k = 1) that the literal rule has room.
    assert tools.verdict(literal).mean > tools.verdict(strict).mean + 0.02


def test_the_literal_rule_breaks_the_miss_rate(tools):
    rng = np.random.default_rng(30)
    rule = guarantee("per-image", delta=0.1)
    literal = [(rule.threshold(tools.curves(photographs(rng, 99)), 0.5) + 1) / 40 for _ in range(500)]
    assert tools.verdict(literal).breaks(0.1)


@pytest.mark.parametrize(("n", "delta", "confidence"), [(60, 0.1, 0.9), (100, 0.1, 0.95), (200, 0.2, 0.8)])
def test_the_confidence_over_calibration_sets_is_kept_and_the_average_rank_breaks_it(tools, n, delta, confidence):
    rng = np.random.default_rng([n, 31])
    fails = {}
    for name, rule in {
        "sure": guarantee("per-image", delta=delta, confidence=confidence),
        "average": guarantee("per-image", delta=delta),
    }.items():
        ranks = np.sort(rng.random((4000, n)), axis=1)[:, rule.rank(n) - 1]
        fails[name] = tools.verdict(ranks > delta)
    assert fails["sure"].keeps(1 - confidence)
    assert fails["average"].breaks(1 - confidence)
