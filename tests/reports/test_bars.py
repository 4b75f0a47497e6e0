"""Bars: lengths in proportion, what is not finite left out, values said with their unit."""

import math

from blackbox_conformal.support.plots import WIDTH, Bar, Bars


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
