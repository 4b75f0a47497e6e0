"""What `examples/watch_changes.py` measures: a change of the answers is found, and without one all is silent."""

import numpy as np
import pytest
import watch_changes
from support.synthetic import photograph

from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.watching.visit.canaries import FEATURES

BEFORE = [np.random.default_rng(canary).normal(size=(64, len(FEATURES))) for canary in range(8)]


def moved(by: float) -> list[np.ndarray]:
    """The answers after a change of one feature, in standard deviations."""
    return [table + by * table.std(axis=0) * (np.arange(len(FEATURES)) == 3) for table in BEFORE]


def test_a_shift_is_that_of_the_feature_that_moves_most_in_the_median_canary() -> None:
    assert watch_changes.shift(BEFORE, BEFORE) == 0
    assert watch_changes.shift(BEFORE, moved(-2.5)) == pytest.approx(2.5)
    assert watch_changes.shift(BEFORE, [*moved(-2.5)[:5], *moved(9.0)[5:]]) == pytest.approx(2.5)


def test_a_change_is_found_within_six_visits_and_without_one_all_is_silent() -> None:
    found = watch_changes.alarms(BEFORE, moved(5.0), 30, 20, 40)
    assert ((found > 0) & (found <= 6)).mean() >= 0.9
    assert np.isinf(watch_changes.alarms(BEFORE, BEFORE, 0, 100, 40)).mean() >= 0.95


def test_half_precision_changes_the_embedded_vendor_a_little() -> None:
    low = photograph(1)[:24, :24]
    plain, half = (network.upscale(low, 7).astype(int) for network in (Generator(), watch_changes.HalfPrecision()))
    assert 0 < np.abs(plain - half).max() <= 8
    assert np.abs(plain - half).mean() < 0.5
