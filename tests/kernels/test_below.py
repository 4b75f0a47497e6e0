"""Scores below thresholds, counted and placed exactly, against comparing every score with every threshold."""

import numpy as np
import pytest
from naive import below as naive

from blackbox_conformal.errors import MapError
from blackbox_conformal.method.kernels.below import count_below, first_above

RANDOM = np.random.default_rng(5)


def ties():
    return RANDOM.integers(-3, 4, (20, 30)).astype(np.float32)


def both_signs():
    return (RANDOM.normal(0, 1, (20, 30)) ** 5).astype(np.float32)


def close_together():
    return (np.float32(1) + RANDOM.integers(0, 40, (20, 30)) * np.finfo(np.float32).eps).astype(np.float32)


def with_gaps():
    scores = both_signs()
    scores[::3] = np.nan
    scores[1::7] = np.inf
    scores[2, :9] = [0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan]
    return scores


@pytest.mark.parametrize("made", [ties, both_signs, close_together, with_gaps])
def test_counts_are_those_of_comparing_every_score(made):
    scores = made()
    known = scores[np.isfinite(scores)].astype(np.float64)
    thresholds = np.sort([-np.inf, -4, 0.0, np.inf, *known[:60], *(known[60:90] * (1 + 1e-9)), *(known[90:99] - 1e-9)])
    assert count_below(scores, thresholds).tolist() == naive.count_below(scores, thresholds)
    assert first_above(scores, thresholds).tolist() == naive.first_above(scores, thresholds)


@pytest.mark.parametrize("value", [np.nan, 0.0, -2.0, np.inf])
def test_one_value_everywhere(value):
    scores = np.full((3, 4), value, np.float32)
    thresholds = np.array([-np.inf, -2.0, -1.0, 0.0, 1.0, np.inf])
    assert count_below(scores, thresholds).tolist() == naive.count_below(scores, thresholds)
    assert first_above(scores, thresholds).tolist() == naive.first_above(scores, thresholds)


@pytest.mark.parametrize(
    "thresholds", [[0.0], [1.0, 1.0], [0.5, np.inf], [-np.inf, np.inf], [-3e38, 3e38], [0, 5e-324]]
)
def test_thresholds_of_no_range_and_of_a_huge_one(thresholds):
    scores, thresholds = with_gaps(), np.array(thresholds, np.float64)
    assert count_below(scores, thresholds).tolist() == naive.count_below(scores, thresholds)
    assert first_above(scores, thresholds).tolist() == naive.first_above(scores, thresholds)


def test_no_thresholds():
    assert count_below(np.zeros((2, 2), np.float32), np.zeros(0)).tolist() == []
    assert first_above(np.zeros((2, 2), np.float32), np.zeros(0)).tolist() == [[255, 255], [255, 255]]


def test_a_place_is_one_byte():
    scores = np.arange(256, dtype=np.float32).reshape(16, 16)
    found = first_above(scores, np.arange(255, dtype=np.float64))
    assert found.ravel().tolist() == [*range(1, 255), 255, 255]
    with pytest.raises(MapError, match="at most 255"):
        first_above(scores, np.arange(256, dtype=np.float64))
