"""Guarantees that allow for outsiders keep their level when the worst ones come; without the allowance they do not."""

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import guarantee

OUTSIDERS = 0.08


def tied(rng, n):
    """(n, 6) losses on a grid of 256 at scores that every photograph shares."""
    losses = np.maximum.accumulate(rng.random((n, 6)) * np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.0]), axis=1)
    return np.floor(losses * 255) / 255


def with_the_worst(losses, threshold):
    """Losses of new pictures of which a share is of the worst kind: wrong by the bound wherever anything is trusted."""
    return (1 - OUTSIDERS) * losses.mean() + OUTSIDERS * (threshold > 0)


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("name", ["expected", "false-trust"])
def test_the_mean_keeps_alpha_with_the_worst_outsiders(tools, name, n):
    rng, alpha = np.random.default_rng([n, 3]), 0.25
    kind = {"kind": "share", "tolerance": 0.5} if name == "false-trust" else {}
    allowing, plain = [], []
    for _ in range(150):
        curves, new = tools.curves(tied(rng, n), **kind), tied(rng, 200)
        for rule, risks in ((guarantee(name, outsiders=OUTSIDERS), allowing), (guarantee(name), plain)):
            threshold = rule.threshold(curves, alpha)
            risks.append(with_the_worst(tools.below(new, threshold), threshold))
    assert tools.verdict(allowing).keeps(alpha)
    assert tools.verdict(allowing).mean > 0.3 * alpha
    assert n < 60 or tools.verdict(plain).breaks(alpha)


def test_the_mean_over_calibrations_reaches_alpha_and_half_the_allowance_breaks_it(tools):
    """Losses that rise in small steps leave nothing over, so that the allowance must be whole."""
    rng, n, alpha = np.random.default_rng(4), 100, 0.25
    risks = {OUTSIDERS: [], OUTSIDERS / 2: []}
    for _ in range(200):
        steps = np.arange(1, 401) / 400
        curves = tools.curves(np.floor(steps * (0.2 + 0.8 * rng.random((n, 1))) * 4096) / 4096)
        for allowed, means in risks.items():
            threshold = guarantee("expected", outsiders=allowed).threshold(curves, alpha)
            means.append((1 - OUTSIDERS) * threshold / 400 * 0.6 + OUTSIDERS)
    assert tools.verdict(risks[OUTSIDERS]).keeps(alpha)
    assert tools.verdict(risks[OUTSIDERS]).mean >= alpha - 2 / (n + 1)
    assert tools.verdict(risks[OUTSIDERS / 2]).breaks(alpha)


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_the_share_of_misses_keeps_delta_with_outsiders_that_all_miss(tools, confidence):
    rng, n, delta = np.random.default_rng(5), 99, 0.2
    missed = {OUTSIDERS: [], 0.0: []}
    for _ in range(400):
        # The score at which a photograph first exceeds the tolerance is uniform on 40 tied values.
        limit = rng.integers(0, 40, (n, 1))
        curves = tools.curves(np.where(np.arange(40) >= limit, 0.75, 0.25))
        for allowed, rates in missed.items():
            rule = guarantee("per-image", delta=delta, confidence=confidence, outsiders=allowed)
            threshold = max(rule.threshold(curves, 0.5), 0)
            rates.append((1 - OUTSIDERS) * threshold / 40 + OUTSIDERS * (threshold > 0))
    if confidence is None:
        assert tools.verdict(missed[OUTSIDERS]).keeps(delta)
        assert tools.verdict(missed[0.0]).breaks(delta)
    else:
        wrong = {allowed: np.array(rates) > delta for allowed, rates in missed.items()}
        assert tools.verdict(wrong[OUTSIDERS]).keeps(1 - confidence)
        assert tools.verdict(wrong[0.0]).breaks(1 - confidence)


@pytest.mark.parametrize("method", ["hoeffding-bentkus", "mixture", "binomial"])
def test_one_calibration_keeps_its_confidence_with_the_worst_outsiders(tools, method):
    rng, n, alpha, delta = np.random.default_rng(6), 150, 0.3, 0.2
    wrong = {OUTSIDERS: [], 0.0: []}
    truth = tied(np.random.default_rng(60), 20000) if method != "binomial" else None
    for _ in range(400):
        if method == "binomial":
            limit = rng.integers(0, 40, (n, 1))
            losses = np.where(np.arange(40) >= limit, 1.0, 0.0)
        else:
            losses = tied(rng, n)
        curves = tools.curves(losses)
        for allowed, fails in wrong.items():
            threshold = guarantee("high-probability", method=method, delta=delta, outsiders=allowed).threshold(
                curves, alpha
            )
            if method == "binomial":
                mean = (1 - OUTSIDERS) * max(threshold, 0) / 40 + OUTSIDERS * (threshold > 0)
            else:
                mean = with_the_worst(tools.below(truth, threshold), threshold)
            fails.append(mean > alpha)
    assert tools.verdict(wrong[OUTSIDERS]).keeps(delta)
    if method == "binomial":
        assert tools.verdict(wrong[0.0]).breaks(delta)


def test_a_cap_leaves_most_of_the_level_and_outsiders_that_use_it_up_are_refused(tools):
    rule = guarantee("expected", outsiders=0.02)
    assert rule.claimed_level(0.1, 0.5) == pytest.approx((0.1 - 0.01) / 0.98)
    curves = tools.curves(tied(np.random.default_rng(1), 30), bound=1.0)
    with pytest.raises(UsageError, match=r"above 0.02, which 2 % of outsiders.*a cap"):
        rule.threshold(curves, 0.02)
    with pytest.raises(UsageError, match=r"outsiders below delta"):
        guarantee("per-image", delta=0.1, outsiders=0.1)


@pytest.mark.parametrize(
    "name", ["expected", "per-image", "high-probability", "false-trust", "all-but", "local", "marked", "clear-share"]
)
def test_without_outsiders_a_guarantee_is_specified_as_before(name):
    assert "outsiders" not in guarantee(name).specification()
    assert guarantee(name, outsiders=0.01).specification()["outsiders"] == 0.01
    assert "also if 1 % of new pictures are of any other kind" in guarantee(name, outsiders=0.01).statement(0.1, 40)
    if name in ("per-image", "high-probability"):
        assert "also if 1 % of" in guarantee(name, of="marked", outsiders=0.01).statement(0.1, 40)
