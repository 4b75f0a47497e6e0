"""Levels that hold together: one picked after looking is wrong as seldom as they say; single levels are not so."""

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.guarantee import guarantee

LEVELS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
RUNS, N, DELTA = 150, 60, 0.2


def fails_somewhere(rule, tables, tools):
    """Whether any level's threshold has a mean loss above it; scores are tied, the loss of column k known exactly."""
    failed = []
    for losses, means in tables:
        curves = tools.curves(losses)
        found = [(level, rule.threshold(curves, level)) for level in LEVELS]
        failed.append(any(t > 0 and means[min(int(np.ceil(min(t, 24))), 24) - 1] > level for level, t in found))
    return failed


def population(rng, highest):
    """(n, 24) losses of 0 or 1: a photograph is wrong from a tied score on, and the mean at the end is `highest`."""
    chances = np.linspace(0.02, highest, 24)
    return (rng.random((N, 1)) < chances) * 1.0, chances


@pytest.mark.parametrize("highest", [0.45, 0.28])
def test_a_level_that_is_picked_after_looking_is_wrong_as_seldom_as_they_say(tools, highest):
    rng = np.random.default_rng([80, int(100 * highest)])
    tables = [population(rng, highest) for _ in range(RUNS)]
    together = fails_somewhere(
        guarantee("high-probability", delta=DELTA, together=LEVELS, method="binomial"), tables, tools
    )
    assert tools.verdict(together).keeps(DELTA)
    assert np.mean(together) > 0.01
    single = fails_somewhere(guarantee("high-probability", delta=DELTA, method="binomial"), tables, tools)
    assert np.mean(single) > 1.5 * np.mean(together)


def test_single_levels_break_it(tools):
    """The control: thresholds that hold one by one, of which the worst is picked."""
    rng = np.random.default_rng(81)
    tables = [population(rng, 0.45) for _ in range(400)]
    single = fails_somewhere(guarantee("high-probability", delta=DELTA, method="binomial"), tables, tools)
    assert tools.verdict(single).breaks(DELTA)
