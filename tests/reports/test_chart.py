"""Charts and bars: scales, ticks, paths, lengths in proportion."""

import math
from itertools import pairwise

import pytest

from blackbox_conformal.support.plots import WIDTH, Bar, Bars, Chart, Series, round_numbers


def chart(**settings):
    series = [
        Series("line", "realised", ((0.0, 0.0), (0.5, 1.0), (1.0, 0.5))),
        Series("step", "bound", ((0.0, 0.0), (0.5, 1.0)), "step"),
        Series("marks", "realised", ((0.25, 0.5),), "marks", ((0.25, 0.4, 0.9),)),
        Series("empty", "bound", ()),
    ]
    return Chart("title", "x", "y", series, **settings)


def test_corners_are_where_they_belong():
    found = chart(x_range=(0, 1), y_range=(0, 1))
    assert (found.x(0), found.x(1)) == (found.left, found.right)
    assert (found.y(0), found.y(1), found.x(2)) == (found.bottom, found.top, found.right)
    assert [one.label for one in found.series] == ["line", "step", "marks"]


def test_paths():
    found = chart(x_range=(0, 1), y_range=(0, 1))
    left, right, top, bottom = found.left, found.right, found.top, found.bottom
    middle, half = round((left + right) / 2, 2), round((top + bottom) / 2, 2)
    assert found.path(found.series[0]) == f"M{float(left)} {float(bottom)}L{middle} {float(top)}L{float(right)} {half}"
    assert found.path(found.series[1]) == f"M{float(left)} {float(bottom)}H{middle}V{float(top)}"
    assert found.marks(found.series[2]) == [(found.x(0.25), half)]


def test_points_that_are_no_numbers_are_left_out():
    broken = Series("a", "realised", ((0.0, 0.1), (0.5, math.nan), (1.0, 0.2), (1.5, math.inf)))
    found = Chart("t", "x", "y", [broken], x_range=(0, 2), y_range=(0, 1))
    assert found.path(broken).count("M") == 2
    assert "nan" not in found.path(broken)
    assert len(found.marks(broken)) == 2


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.03, 0.3), (-5, 5), (20, 20.5), (0, 1e-6), (3, 4000)])
def test_ticks_are_round_inside_and_few(low, high):
    found = round_numbers(low, high)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    steps = {round(second - first, 12) for first, second in pairwise(found)}
    assert len({f"{step:.6g}" for step in steps}) == 1


def test_ranges_follow_the_data_with_room():
    found = Chart("t", "x", "y", [Series("a", "realised", ((1.0, 10.0), (3.0, 30.0)))])
    assert (found.x0, found.x1) == pytest.approx((0.88, 3.12))
    assert (found.y0, found.y1) == pytest.approx((8.8, 31.2))
    flat = Chart("t", "x", "y", [Series("a", "realised", ((1.0, 5.0),))])
    assert flat.y0 < 5 < flat.y1
    nothing = Chart("t", "x", "y", [])
    assert (nothing.x0, nothing.x1) == (0, 1)


def test_percent_labels():
    assert [tick.label for tick in chart(y_range=(0, 1), percent=True).y_ticks][-1] == "100 %"


def test_lengths_are_in_proportion_and_the_longest_fills_the_width():
    bars = [Bar("a", 10.0, "realised"), Bar("b", 40.0, "bound"), Bar("c", 25.0, "allowed")]
    found = Bars("title", "dB", bars)
    assert [found.length(bar) for bar in found.bars] == [WIDTH / 4, WIDTH, WIDTH * 25 / 40]
    assert found.height == 3 * found.row
    assert found.thick < found.row


def test_what_is_not_finite_is_left_out():
    found = Bars("title", "dB", [Bar("a", math.nan, "x"), Bar("b", math.inf, "x"), Bar("c", 3.0, "x")])
    assert [bar.label for bar in found.bars] == ["c"]
    assert Bars("title", "dB", [Bar("a", math.nan, "x")]).height == 0


def test_zero_and_less_have_no_length():
    found = Bars("title", "", [Bar("a", 0.0, "x"), Bar("b", -2.0, "x")], digits=3)
    assert [found.length(bar) for bar in found.bars] == [0, 0]
    assert [found.words(bar) for bar in found.bars] == ["0.000", "-2.000"]
    assert Bars("title", "dB", [Bar("a", 20.456, "x")]).words(Bar("a", 20.456, "x")) == "20.46 dB"
