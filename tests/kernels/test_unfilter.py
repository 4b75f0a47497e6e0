"""Undone row filters against the recommendation's own words, for every kind of row."""

import numpy as np
import pytest
from naive import unfilter as naive

from blackbox_conformal.method.kernels.unfilter import _paeth, unfilter


def test_two_comparisons_find_the_nearest_for_all_differences():
    # Paeth depends on differences only, up to where bytes end; a step of 15 meets both ends.
    levels = range(0, 256, 15)
    for a in levels:
        for b in levels:
            for c in levels:
                assert _paeth(np.int32(a), np.int32(b), np.int32(c)) == naive.paeth(a, b, c)


@pytest.mark.parametrize("pixel", [1, 2, 3, 6])
def test_rows_of_any_depth_and_channels_are_those_of_the_recommendation(pixel):
    random = np.random.default_rng(pixel)
    rows = np.column_stack([random.permuted(np.arange(10) % 5), random.integers(0, 256, (10, 7 * pixel))])
    rows, out = rows.astype(np.uint8), np.full((10, 7 * pixel), 77, np.uint8)
    assert unfilter(rows.reshape(-1), out, pixel)
    np.testing.assert_array_equal(out, naive.unfilter(rows.reshape(-1), 7 * pixel, pixel=pixel))


def test_unknown_filter_of_any_depth_is_told():
    assert not unfilter(np.array([5, 1, 2], np.uint8), np.zeros((1, 2), np.uint8), 2)
