import itertools
import math

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.risk.trust import PixelPlace, trusted, window, worst_place

SCORES = np.array([[0.0, 0.2, 0.2], [0.5, math.nan, math.inf]], np.float32)


def test_the_comparison_is_strict_and_in_double_precision():
    assert trusted(SCORES, float(np.float32(0.2))).tolist() == [[True, False, False], [False, False, False]]
    # 0.2 as float32 is above 0.2 as float64: no rounding of the threshold may make them equal or smaller.
    assert not trusted(SCORES, 0.2)[0, 1]
    assert trusted(SCORES, math.nextafter(float(np.float32(0.2)), 1))[0, 1]


def test_minus_infinity_trusts_nothing_and_plus_infinity_everything_with_a_score():
    assert not trusted(SCORES, -math.inf).any()
    assert trusted(SCORES, math.inf).tolist() == [[True, True, True], [True, False, True]]
    assert not trusted(np.full((2, 2), -math.inf, np.float32), -math.inf).any()


def test_a_mask_never_shrinks_as_the_threshold_grows():
    scores = np.random.default_rng(0).integers(0, 6, (20, 20)).astype(np.float32)
    masks = [trusted(scores, t) for t in (-math.inf, 0.0, 1.0, 1.5, 4.0, 5.0, 6.0, math.inf)]
    for smaller, larger in itertools.pairwise(masks):
        assert (smaller <= larger).all()
    assert masks[-1].all()
    assert not masks[0].any()


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="NaN"):
        trusted(SCORES, math.nan)


def test_scores_in_double_precision_are_judged_as_the_calibration_saw_them():
    scores = np.array([[0.1]])
    assert not trusted(scores, float(np.float32(0.1)))[0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_the_worst_place_is_the_first_largest_trusted_error(seed):
    rng = np.random.default_rng(seed)
    errors = (rng.integers(0, 6, (7, 9)) / 8).astype(np.float32)
    mask = rng.random((7, 9)) < 0.4
    best = None
    for row in range(7):
        for column in range(9):
            if mask[row, column] and (best is None or errors[row, column] > best[2]):
                best = (row, column, errors[row, column])
    found = worst_place(errors, mask)
    assert (found.row, found.column, found.error) == best


def test_an_untrusted_error_is_no_worst_place():
    errors = np.array([[0.9, 0.0]], np.float32)
    assert worst_place(errors, np.array([[False, True]])) == PixelPlace(0, 1, 0.0)
    assert worst_place(errors, np.zeros((1, 2), bool)) is None


@pytest.mark.parametrize("size", [(40, 50), (10, 50), (40, 9), (5, 5)])
@pytest.mark.parametrize("side", [8, 9])
def test_windows_hold_their_place_and_stay_inside(size, side):
    for row in range(size[0]):
        for column in range(size[1]):
            rows, columns = window(PixelPlace(row, column, 0.0), size, side)
            assert 0 <= rows.start <= row < rows.stop <= size[0]
            assert 0 <= columns.start <= column < columns.stop <= size[1]
            assert rows.stop - rows.start == min(side, size[0])
            assert columns.stop - columns.start == min(side, size[1])
    rows, columns = window(PixelPlace(20, 25, 0.0), (40, 50), 8)
    assert (rows, columns) == (slice(16, 24), slice(21, 29))
