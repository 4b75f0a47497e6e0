"""The worst pixel of a mask, and the window around it."""

import numpy as np
import pytest

from blackbox_conformal.method.risk.trust import PixelPlace, window, worst_place


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
