"""Whole pictures are worse than certified as seldom as stated; broken variants of the rule are so more often."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.risk.whole_errors import WholeErrors


def errors(ratios):
    """Of photographs with these ratios, (n,), alike in all measures, whose known errors differ."""
    known = np.random.default_rng(ratios.size).uniform(0.1, 0.2, ratios.size)
    return WholeErrors(np.stack([np.sqrt(known) * ratios, known], axis=1)[:, :, None].repeat(3, axis=2))


def tied(rng, shape):
    return rng.integers(1, 5, shape) / 4


def smooth(rng, shape):
    return rng.lognormal(0, 0.5, shape)


@pytest.mark.parametrize("n", [9, 19, 40])
@pytest.mark.parametrize("drawn", [tied, smooth])
def test_the_miss_rate_is_kept(tools, n, drawn):
    rng = np.random.default_rng([n, 34])
    missed = []
    for _ in range(1500):
        ratios = drawn(rng, n + 1)
        limits = errors(ratios[:-1]).largest_ratios(0.1)
        missed.append(bool((ratios[-1:] > limits * (1 + 1e-12)).all()))
    assert tools.verdict(missed).keeps(0.1)
    if drawn is smooth:
        # Not by being vacuous: k / (n + 1) of them miss.
        assert tools.verdict(missed).mean > math.floor(0.1 * (n + 1)) / (n + 1) - 0.03


def test_without_the_new_photograph_in_the_count_the_rate_is_broken(tools):
    rng = np.random.default_rng(35)
    ratios = smooth(rng, (6000, 15))
    # The quantile of the 14 calibrated alone, as if the new one were none of them.
    literal = np.sort(ratios[:, :-1], axis=1)[:, math.ceil(0.9 * 14) - 1]
    assert tools.verdict(ratios[:, -1] > literal).breaks(0.1)


def test_a_known_picture_that_is_chosen_by_the_calibration_photographs_breaks_the_rate(tools):
    rng = np.random.default_rng(36)
    missed = {"fixed": [], "chosen": []}
    for _ in range(1500):
        # Thirty pictures to compare with, none better than another.
        ratios = smooth(rng, (30, 20))
        limits = np.array([errors(row[:-1]).largest_ratios(0.1)[0] for row in ratios])
        for name, place in (("fixed", 0), ("chosen", int(np.argmin(limits)))):
            missed[name].append(ratios[place, -1] > limits[place] * (1 + 1e-12))
    assert tools.verdict(missed["fixed"]).keeps(0.1)
    assert tools.verdict(missed["chosen"]).breaks(0.1)
