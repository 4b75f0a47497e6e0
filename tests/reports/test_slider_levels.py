"""The slider's stops: round levels, exact thresholds, honest words."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.pages.report.slider_levels import (
    ALWAYS,
    MAXIMUM_STOPS,
    choose_levels,
    choose_stops,
    opening_level,
)


def test_levels_are_few_round_and_cover_the_range(plain_run):
    calibration = plain_run.calibration
    levels = choose_levels(calibration, [0.123456])
    assert set(ALWAYS) | {0.123456} <= set(levels)
    assert levels == sorted(set(levels))
    assert 150 < len(levels) <= MAXIMUM_STOPS
    assert all(len(f"{level:g}") <= 7 for level in levels if level != 0.123456)
    steps = np.diff([level for level in levels if level not in (*ALWAYS, 0.123456)])
    assert steps.max() == pytest.approx(steps.min() * round(steps.max() / steps.min()))
    assert calibration.threshold(levels[-1]) == math.inf


def test_a_tiny_level_is_not_rounded_away(plain_run):
    calibration = plain_run.calibration
    assert min(choose_levels(calibration, [1e-300])) == 1e-300
    assert "nothing can be trusted at 1e-300" in choose_stops(calibration, [1e-300])[0].statement.lower()


def test_thresholds_are_the_calibrations_and_never_fall(plain_run):
    stops = choose_stops(plain_run.calibration)
    assert [stop.threshold for stop in stops] == [plain_run.calibration.threshold(stop.alpha) for stop in stops]
    thresholds = [stop.threshold for stop in stops]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) > 50


def test_words_say_what_is_guaranteed_or_what_is_missing(plain_run):
    stops = choose_stops(plain_run.calibration, [0.001])
    assert stops[0].threshold == -math.inf
    assert "photographs" in stops[0].statement
    assert stops[0].risk == 0
    known = next(stop for stop in stops if stop.alpha == 0.3)
    calibration = plain_run.calibration
    assert known.statement == statement(calibration.rule(), 0.3, 60, calibration.procedure.metric)
    assert all(stop.risk <= stop.alpha * (1 + 1e-9) for stop in stops)


def test_a_report_opens_where_something_is_trusted(plain_run):
    calibration = plain_run.calibration
    assert opening_level(calibration, [0.05, 0.2, 0.1]) == 0.1
    assert opening_level(calibration, [0.25]) == 0.25
    assert opening_level(calibration, []) == 0.1
