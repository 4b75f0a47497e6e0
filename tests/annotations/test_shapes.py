"""Shapes to pixels: exact boxes, nothing lost, nothing far away, bounded work."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.annotation_files import marked

from blackbox_conformal.annotations.formats import coco as shapes
from blackbox_conformal.annotations.formats.coco import DrawnLevels, runs
from blackbox_conformal.errors import FileFormatError

places = st.tuples(st.floats(-10, 42), st.floats(-10, 34))


def _drawn(points, size=(24, 32)):
    found = DrawnLevels(size)
    found.polygon(points, 255)
    return found.levels > 0


def _inside(points, x, y):
    """Even-odd rule, one ray to the right."""
    odd = False
    for (a, b), (c, d) in zip(points, points[1:] + points[:1], strict=True):
        if (b > y) != (d > y) and x < a + (y - b) * (c - a) / (d - b):
            odd = not odd
    return odd


def _distance(points, x, y):
    """From a point to the outline."""
    found = math.inf
    for (a, b), (c, d) in zip(points, points[1:] + points[:1], strict=True):
        length = (c - a) ** 2 + (d - b) ** 2
        t = 0.0 if length == 0 else min(max(((x - a) * (c - a) + (y - b) * (d - b)) / length, 0), 1)
        found = min(found, math.hypot(x - a - t * (c - a), y - b - t * (d - b)))
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(places, min_size=1, max_size=6))
@example([(0.0, 2.0), (-0.5, 0.0)])
def test_centres_inside_are_marked_and_nothing_beyond_the_outline(points):
    try:
        found = _drawn(points)
    except FileFormatError:
        found = np.zeros((24, 32), bool)
    for y, x in np.ndindex(24, 32):
        if _distance(points, x + 0.5, y + 0.5) > 1e-9 and _inside(points, x + 0.5, y + 0.5):
            assert found[y, x]
        if found[y, x]:
            assert _inside(points, x + 0.5, y + 0.5) or _distance(points, x + 0.5, y + 0.5) <= math.sqrt(0.5) + 1e-6


@pytest.mark.parametrize("box", [(3, 5, 10, 12), (0, 0, 32, 24), (31, 23, 32, 24), (7, 7, 8, 20)])
def test_a_box_on_the_lines_between_pixels_is_exact(box):
    found = DrawnLevels((24, 32))
    found.box(*box, 255)
    np.testing.assert_array_equal(found.levels, marked(box))


def test_a_box_within_pixels_marks_all_it_touches():
    found = DrawnLevels((24, 32))
    found.box(3.2, 5.7, 9.1, 11.5, 255)
    np.testing.assert_array_equal(found.levels, marked((3, 5, 10, 12)))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(4.3, 5.2)], [(5, 4)]),
        ([(4, 5)], [(5, 4)]),
        ([(4.1, 5.5), (6.9, 5.5)], [(5, 4), (5, 5), (5, 6)]),
        ([(4.4, 5.4), (4.6, 5.4), (4.5, 5.45)], [(5, 4)]),
        ([(4.5, 5.5)] * 5, [(5, 4)]),
    ],
)
def test_degenerate_shapes_are_not_lost(points, expected):
    assert list(zip(*(found.tolist() for found in np.nonzero(_drawn(points))), strict=True)) == expected


def test_holes_by_the_even_odd_rule():
    ring = [(2, 2), (20, 2), (20, 20), (2, 20), (2, 2), (8, 8), (8, 14), (14, 14), (14, 8), (8, 8)]
    found = _drawn(ring)
    assert found[4, 4]
    assert not found[11, 12]


def test_turned_boxes():
    upright, lying = DrawnLevels((60, 60)), DrawnLevels((60, 60))
    upright.box(25, 10, 35, 50, 255)
    lying.box(10, 25, 50, 35, 255, degrees=90)
    assert (upright.levels != lying.levels).sum() <= 100
    clockwise = DrawnLevels((60, 60))
    clockwise.box(30, 28, 58, 32, 255, degrees=45)
    assert (clockwise.levels[38, 52], clockwise.levels[22, 52]) == (255, 0)


def test_the_largest_level_counts_where_shapes_overlap():
    found = DrawnLevels((24, 32))
    found.box(0, 0, 10, 10, 200)
    found.box(5, 5, 15, 15, 100)
    assert (found.levels[7, 7], found.levels[12, 12]) == (200, 100)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(math.nan, 3)],
        [(3, math.inf)],
        [(1e9, 3), (3, 3)],
        [(-5, -5), (-3, -5), (-3, -3)],
        [(40, 3), (50, 9), (44, 9)],
    ],
)
def test_shapes_that_cannot_be_meant_are_refused(points):
    with pytest.raises(FileFormatError, match="expected"):
        _drawn(points)


def test_patches_stay_within_the_picture():
    found = DrawnLevels((24, 32))
    found.patch(np.ones((24, 32), bool), 0, 0, 9)
    assert (found.levels == 9).all()
    for top, left in ((-1, 0), (0, 1), (23, 0)):
        with pytest.raises(FileFormatError, match="expected a mask within 32×24 pixels"):
            found.patch(np.ones((24, 32), bool), top, left, 9)


def test_endless_work_is_refused(monkeypatch):
    monkeypatch.setattr(shapes, "LARGEST_WORK", 6_000_000)
    found = DrawnLevels((24, 32))
    for _ in range(10):
        found.box(0, 0, 32, 24, 255)
    with pytest.raises(FileFormatError, match="would take too long"):
        [found.box(0, 0, 32, 24, 255) for _ in range(20)]


def test_runs():
    assert runs([2, 1, 0, 3], 6).tolist() == [False, False, True, True, True, True]
    for counts in ([2, 1], [7], [-1, 7], [3, -1, 4], [2**62, 6]):
        with pytest.raises(FileFormatError, match="add up to 6"):
            runs(counts, 6)
