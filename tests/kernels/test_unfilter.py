"""Undone row filters against the recommendation's own words, for every kind of row and any split into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import unfilter as naive

from blackbox_conformal.method.kernels.unfilter import _paeth, unfilter, unfilter_any

KINDS = [(0, 1, 2, 3, 4), (4,), (3,), (0, 2), (1, 2)]
"""Kinds of filter that a picture's rows have; rows that wait for none are undone in another way."""

LEVELS = [range(256), (0, 1, 255), (0, 127, 128)]


@st.composite
def filtered_rows(draw):
    height, pixels = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 7, 65, 140]))
    kinds = draw(st.lists(st.sampled_from(draw(st.sampled_from(KINDS))), min_size=height, max_size=height))
    values = np.random.default_rng(draw(st.integers(0, 2**32))).choice(
        draw(st.sampled_from(LEVELS)), (height, 3 * pixels)
    )
    return np.column_stack([kinds, values]).astype(np.uint8)


def padded(rows):
    return np.append(rows.reshape(-1), np.uint8(99))


@settings(deadline=None)
@given(filtered_rows(), st.data())
def test_rows_are_those_of_the_recommendation_however_they_are_split(rows, data):
    height, width = rows.shape[0], rows.shape[1] - 1
    expected = naive.unfilter(rows.reshape(-1), width)
    out = np.full((height, width), 77, np.uint8)
    cut = data.draw(st.integers(0, height))
    assert unfilter(padded(rows[:cut]), out, 0)
    assert unfilter(padded(rows[cut:]), out, cut)
    np.testing.assert_array_equal(out, expected)


def test_two_comparisons_find_the_nearest_for_all_differences():
    # Paeth depends on differences only, up to where bytes end; a step of 15 meets both ends.
    levels = range(0, 256, 15)
    for a in levels:
        for b in levels:
            for c in levels:
                assert _paeth(np.int32(a), np.int32(b), np.int32(c)) == naive.paeth(a, b, c)


@pytest.mark.parametrize("kind", [5, 255])
def test_unknown_filter_is_told(kind):
    assert not unfilter(np.array([kind, 1, 2, 3, 99], np.uint8), np.zeros((1, 3), np.uint8), 0)


@pytest.mark.parametrize("pixel", [1, 2, 3, 6])
def test_rows_of_any_depth_and_channels_are_those_of_the_recommendation(pixel):
    random = np.random.default_rng(pixel)
    rows = np.column_stack([random.permuted(np.arange(10) % 5), random.integers(0, 256, (10, 7 * pixel))])
    rows, out = rows.astype(np.uint8), np.full((10, 7 * pixel), 77, np.uint8)
    assert unfilter_any(rows.reshape(-1), out, pixel)
    np.testing.assert_array_equal(out, naive.unfilter(rows.reshape(-1), 7 * pixel, pixel=pixel))


def test_unknown_filter_of_any_depth_is_told():
    assert not unfilter_any(np.array([5, 1, 2], np.uint8), np.zeros((1, 2), np.uint8), 2)
